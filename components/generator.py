"""Component that writes simulated interactions under the random policy to the warehouse."""

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def generator(config: dict, metrics: dsl.Output[dsl.Metrics], interactions: int = 1000, seed: int = 0):
    """Simulate the first interactions, and make the random policy the champion if there is none. Idempotent per seed.

    Args:
        config: Config of the loop, as JSON.
        interactions: Number of interactions to simulate; of episodes, as many whole ones as it takes.
        seed: Seed of the simulation.

    Returns:
        metrics: Numbers of decisions and rewards that were added, the mean reward, time, memory and rows per second.
    """
    from banditloop.rl_core.backends import connect_loop
    from banditloop.rl_core.promotion.steps import simulate_step
    from banditloop.rl_core.usage import usage

    with usage(metrics.log_metric) as count_rows:
        settings, platform = connect_loop(config)
        added = simulate_step(settings, platform, interactions, seed)
        count_rows(int(added["decisions_added"]))
    for name, value in added.items():
        metrics.log_metric(name, value)
