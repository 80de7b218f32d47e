"""Component that merges the statistics of the shards of a training to a policy."""

from typing import List  # noqa: UP035 (KFP knows no other list of artifacts)

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def merger(
    config: dict,
    sums: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    policy: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    run_id: str = "",
):
    """Add the statistics of all shards to those that the training resumes from, and save a policy directory.

    But for rounding, it is the policy that one trainer makes of the examples of all shards.

    Args:
        config: Config of the loop, as JSON.
        sums: Statistics of all shards of one training, from the accumulators.
        run_id: Id of the pipeline run, recorded in the policy's manifest.

    Returns:
        policy: Policy directory, which is a SavedModel too, with metadata: version, parent, interactions.
        metrics: Mean reward, arms seen, and the noise or the condition number; time, memory, bytes and rows.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.promotion.shard_steps import merge_step
    from banditloop.rl_core.usage import usage

    folders, folder = [Path(part.path) for part in sums], Path(policy.path)
    with usage(metrics.log_metric, folders, [folder]) as count_rows:
        merged = merge_step(*connect_if_any(config), folders, folder, run_id)
        count_rows(merged.rows)
    policy.metadata.update(merged.metadata)
    for name, value in merged.metrics.items():
        metrics.log_metric(name, value)
