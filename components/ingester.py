"""Component that exports the interactions to train on from the warehouse to TFRecord files."""

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingester(config: dict, examples: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]):
    """Write the interactions since the last training, or all if no policy can be resumed, as tf.train.Examples.

    Interactions held out for evaluation are excluded; those that contradict themselves or have a reward outside the
    task's range are left out. Fails if there are no new interactions, or if a version's actions were not chosen as
    often as their logged propensities imply: an audit that continues over its windows of the log.

    Args:
        config: Config of the loop, as JSON.
        examples: TFRecord files and the audits so far, with metadata: since, until, interactions, previous, the version
            before the one to train, and parent, the same if training resumes from it, else empty.
        metrics: Number of interactions, and of those left out, by reason.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect
    from banditloop.rl_core.config import Config
    from banditloop.rl_core.errors import InvalidInput
    from banditloop.rl_core.estimators.propensity_audit import audit_propensities
    from banditloop.rl_core.events.examples import write_examples
    from banditloop.rl_core.events.usable import UsableInteractions
    from banditloop.rl_core.policies.audits import read_audits, write_audits
    from banditloop.rl_core.ports import action_counts
    from banditloop.rl_core.promotion.current import latest_released
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.training.lineage import resumable

    settings = Config.parse(config)
    platform = connect(settings)
    check_start(settings, platform)
    latest, encoding = latest_released(platform.endpoint)
    parent = latest if resumable(settings, latest, encoding) else None
    window = platform.warehouse.window(parent.window.until if parent else None)
    if not window.interactions:
        raise InvalidInput(f"warehouse: no interactions logged since {window.since or 'the beginning'}")
    audits = read_audits(platform.endpoint.policy(parent.version)) if parent else {}
    usable = UsableInteractions(settings.task, action_counts(platform.endpoint))
    interactions = usable.of(platform.warehouse.interactions(window, "training"))
    audited = audit_propensities(interactions, audits, complete=settings.reward.default != "ignore")
    rows = write_examples(audited, Path(examples.path))
    write_audits(Path(examples.path), audits)
    if usable.left_out and not rows:
        raise InvalidInput(
            f"warehouse: none of the interactions since {window.since or 'the beginning'} can be learned from, such as "
            f"{usable.example}. Give a changed task its own backend.root, or rename the feature"
        )
    metadata = window.model_copy(update={"interactions": rows}).model_dump(mode="json", exclude_none=True)
    versions = {"parent": parent, "previous": latest}
    metadata |= {key: manifest.version if manifest else "" for key, manifest in versions.items()}
    examples.metadata.update(metadata)
    metrics.log_metric("interactions", rows)
    for reason, count in usable.left_out.items():
        metrics.log_metric(reason, count)
