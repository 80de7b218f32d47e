"""The ingester reads the interactions since the deployed policy's data into TFRecord files."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingester(config: dict, examples: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]):
    """Write what is new as tf.train.Examples; everything, where no policy can be resumed from.

    Args:
        config: The loop's config.
        examples: The TFRecord files; metadata: since, until, interactions, parent (the version to resume from).
        metrics: The number of interactions.
    """
    from pathlib import Path

    from rl_core.backends import champion, connect
    from rl_core.config import Config
    from rl_core.errors import InvalidInput
    from rl_core.examples import write_examples
    from rl_core.training import resumable

    settings = Config.parse(config)
    platform = connect(settings)
    deployed = champion(platform.endpoint)
    parent = deployed if resumable(settings, deployed) else None
    window = platform.warehouse.window(parent.window.until if parent else None)
    if not window.interactions:
        raise InvalidInput(f"warehouse: no interactions logged since {window.since or 'the beginning'}")
    rows = write_examples(platform.warehouse.interactions(window), Path(examples.path))
    examples.metadata.update(window.model_dump(mode="json", exclude_none=True), parent=parent.version if parent else "")
    metrics.log_metric("interactions", rows)
