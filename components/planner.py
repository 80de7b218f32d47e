"""Component that plans a training in shards."""

from typing import List  # noqa: UP035 (KFP knows no other list)

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def planner(
    config: dict,
    plan: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    as_of: str = "",
    parent: str = "",
) -> List[str]:  # noqa: UP006
    """Plan the next training of a loop in shards: what they have in common, and how the interactions are divided.

    Args:
        config: Config of the loop, as JSON, with training.shards.
        as_of: Time up to which the log is read, ISO 8601; empty is all.
        parent: Version of the loop to resume from; empty is the latest released.

    Returns:
        Output: Names of the shards, each to be read by an ingester. (Unnamed: kfp.local loops over these only.)
        plan: Window of the log, version to resume from, and encoder of contexts, the same for all shards.
        metrics: Number of shards; time and memory.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.promotion.shard_steps import plan_step
    from banditloop.rl_core.usage import usage

    with usage(metrics.log_metric, [], [plan.path]):
        shards = plan_step(*connect_if_any(config), Path(plan.path), as_of, parent)
    metrics.log_metric("shards", len(shards))
    return shards
