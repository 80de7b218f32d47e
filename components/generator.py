"""The generator writes simulated interactions under a random policy into the warehouse."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def generator(config: dict, metrics: dsl.Output[dsl.Metrics], interactions: int = 1000, seed: int = 0):
    """Give the loop something to start from. Doing it again with the same seed adds nothing.

    The random policy becomes the champion that the first trained one has to beat, where nobody answers yet.

    Args:
        config: The loop's config.
        metrics: decisions and rewards added, and the mean reward.
        interactions: How many interactions to simulate.
        seed: Which ones.
    """
    import pyarrow as pa

    from rl_core.backends import connect
    from rl_core.backends.releasing import start
    from rl_core.config import Config
    from rl_core.simulation import simulated_history

    settings = Config.parse(config)
    platform = connect(settings)
    warehouse = platform.warehouse
    decisions, rewards = zip(
        *simulated_history(settings.environment, interactions, settings.reward.name, seed), strict=True
    )
    # Rewards first: a decision that is there has its reward, so a retry after a crash finishes the work.
    metrics.log_metric("rewards_added", warehouse.append("rewards", pa.concat_tables(rewards)))
    metrics.log_metric("decisions_added", warehouse.append("decisions", pa.concat_tables(decisions)))
    metrics.log_metric("mean_reward", pa.concat_tables(rewards)["value"].to_numpy().mean())
    start(settings, platform.endpoint)
