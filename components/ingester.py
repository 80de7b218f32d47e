"""The ingester reads the interactions that are there to train on into TFRecord files."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingester(config: dict, examples: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]):
    """Write what is new as tf.train.Examples; everything, where no policy can be resumed from.

    What is held out for evaluation is not among it. Fails where a version's actions were not chosen as often as their
    logged propensities say.

    Args:
        config: The loop's config.
        examples: The TFRecord files; metadata: since, until, interactions, parent (the version to resume from).
        metrics: The number of interactions.
    """
    from pathlib import Path

    from rl_core.backends import connect, newest
    from rl_core.config import Config
    from rl_core.errors import InvalidInput
    from rl_core.estimators.audit import audited
    from rl_core.examples import write_examples
    from rl_core.training import resumable

    settings = Config.parse(config)
    platform = connect(settings)
    serving = newest(platform.endpoint)
    parent = serving if resumable(settings, serving) else None
    window = platform.warehouse.window(parent.window.until if parent else None)
    if not window.interactions:
        raise InvalidInput(f"warehouse: no interactions logged since {window.since or 'the beginning'}")
    rows = write_examples(audited(platform.warehouse.interactions(window, "training")), Path(examples.path))
    found = window.model_copy(update={"interactions": rows}).model_dump(mode="json", exclude_none=True)
    examples.metadata.update(found, parent=parent.version if parent else "")
    metrics.log_metric("interactions", rows)
