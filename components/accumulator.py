"""Component that adds up one shard of the interactions of a training."""

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def accumulator(
    config: dict,
    examples: dsl.Input[dsl.Dataset],
    sums: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Compute the statistics of one shard of a training, for agents whose statistics are sums.

    Args:
        config: Config of the loop, as JSON.
        examples: Examples of one shard, from an ingester with a plan.

    Returns:
        sums: Statistics of the shard alone, for the merger.
        metrics: Mean reward, arms seen and others of the shard; time, memory, bytes and rows per second.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.promotion.shard_steps import add_up_step
    from banditloop.rl_core.usage import usage

    source, folder = Path(examples.path), Path(sums.path)
    with usage(metrics.log_metric, [source], [folder]) as count_rows:
        values, rows = add_up_step(*connect_if_any(config), source, folder, examples.metadata)
        count_rows(rows)
    for name, value in values.items():
        metrics.log_metric(name, value)
