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
        metrics: Numbers of decisions and rewards that were added, and the mean reward.
    """
    from banditloop.rl_core.backends import connect_loop
    from banditloop.rl_core.promotion.steps import simulate_step

    settings, platform = connect_loop(config)
    for name, value in simulate_step(settings, platform, interactions, seed).items():
        metrics.log_metric(name, value)
