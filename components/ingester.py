"""Component that exports the interactions to train on to TFRecord files: the loop's, or those of a log in a file."""

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
):
    """Write interactions as tf.train.Examples, without those held out for evaluation and those of no use.

    Args:
        config: Config of the loop, as JSON; of a log in a file, [task] is enough.
        log: Parquet, CSV or JSON lines file, or a folder of them, with columns action and reward, one for each feature
            of the context and, where known, propensity, timestamp and event_id. Without it, the loop's interactions
            since the last training are read, or all if no policy can be resumed.
        columns: Names of the log's columns where they are others, as {"action": "banner", "reward": "clicked"}.
        as_of: Time up to which is read, ISO 8601; empty is all. A new time makes a cached task run again.
        parent: Version of the loop to resume from; empty is the latest released.

    Returns:
        examples: TFRecord files, with what the trainer needs to know as metadata, such as the version to resume from.
        held_out: The rows of the log that were held out, for the evaluator; a loop's stay in its warehouse.
        metrics: Number of interactions, and of those left out, by reason.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_loop
    from banditloop.rl_core.config import Config
    from banditloop.rl_core.promotion.current import released
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.training.export import export_file, export_log

    folder = Path(examples.path)
    if log:
        export = export_file(Config.parse(config), Path(log.path), columns, folder, Path(held_out.path), as_of)
    else:
        settings, platform = connect_loop(config, "an ingester without a log")
        check_start(settings, platform)
        export = export_log(settings, platform, released(platform.endpoint, parent), folder, as_of)
    examples.metadata.update(export.metadata)
    for name, value in export.metrics.items():
        metrics.log_metric(name, value)
