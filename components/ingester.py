"""Component that exports the interactions to train on to example files: the loop's, or those of a log in a file."""

from typing import Optional

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingester(
    config: dict,
    examples: dsl.Output[dsl.Dataset],
    held_out: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    log: Optional[dsl.Input[dsl.Dataset]] = None,
    columns: dict = {},
    as_of: str = "",
    parent: str = "",
    plan: Optional[dsl.Input[dsl.Artifact]] = None,
    shard: str = "",
):
    """Write interactions as examples to train on, without those held out for evaluation and those of no use.

    They are those of the loop since the last training, or all if no policy can be resumed, or those of a log in a file,
    with columns action, reward, one for each feature of the context and, where known, propensity, timestamp, event_id.
    In a config with episodes they are the transitions of complete ones, and a file also has columns episode_id, step,
    terminal and truncated.

    Args:
        config: Config of the loop, as JSON; for a log in a file, one with a task is enough.
        log: Log in a Parquet, CSV or JSON lines file, or in a folder of them; without it, the loop's log is read.
        columns: Names of the log's columns where they differ, as {"action": "banner", "reward": "clicked"}.
        as_of: Time up to which the log is read, ISO 8601; empty is all. Another time makes a cached task run again.
        parent: Version of the loop to resume from; empty is the latest released.
        plan: Plan of a training in shards; the planner then has as_of and parent.
        shard: Name of the plan's shard whose interactions are written.

    Returns:
        examples: TFRecord or Arrow files, with metadata for the trainer, such as the version to resume from.
        held_out: Rows of the log that were held out, for the evaluator; a loop's stay in its warehouse.
        metrics: Number of interactions, and of those left out, by reason; time, memory, bytes and rows per second.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.promotion.shard_steps import export_shard_step
    from banditloop.rl_core.promotion.steps import export_step
    from banditloop.rl_core.usage import usage

    source, folder, rest = Path(log.path) if log else None, Path(examples.path), Path(held_out.path)
    with usage(metrics.log_metric, [source] if source else [], [folder, rest]) as count_rows:
        settings, platform = connect_if_any(config)
        if plan:
            export = export_shard_step(settings, platform, Path(plan.path), shard, folder)
        else:
            export = export_step(settings, platform, source, folder, rest, columns, as_of, parent)
        count_rows(export.metrics["interactions"])
    examples.metadata.update(export.metadata)
    for name, value in export.metrics.items():
        metrics.log_metric(name, value)
