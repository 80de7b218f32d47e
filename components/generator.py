"""Component that writes simulated interactions under the random policy to the warehouse."""

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def generator(config: dict, metrics: dsl.Output[dsl.Metrics], interactions: int = 1000, seed: int = 0):
    """Simulate the first interactions, and make the random policy the champion if there is none. Idempotent per seed.

    Args:
        config: Config of the loop, as JSON.
        interactions: Number of interactions to simulate.
        seed: Seed of the simulation.

    Returns:
        metrics: Numbers of decisions and rewards that were added, and the mean reward.
    """
    import pyarrow as pa

    from banditloop.rl_core.backends import connect_loop
    from banditloop.rl_core.environments import configured
    from banditloop.rl_core.environments.history import simulated_history
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.promotion.transitions import ensure_champion

    settings, platform = connect_loop(config)
    check_start(settings, platform)
    warehouse = platform.warehouse
    environment = configured(settings.environment, "the generator")
    decisions, rewards = zip(*simulated_history(environment, interactions, settings.reward.name, seed), strict=True)
    # Rewards first: every decision in the warehouse then has its reward, and a retry after a crash adds the rest.
    metrics.log_metric("rewards_added", warehouse.append("rewards", pa.concat_tables(rewards)))
    metrics.log_metric("decisions_added", warehouse.append("decisions", pa.concat_tables(decisions)))
    metrics.log_metric("mean_reward", pa.concat_tables(rewards)["value"].to_numpy().mean())
    ensure_champion(settings, platform.endpoint)
