"""Component that trains a policy off-policy on logged interactions, resuming from its parent."""

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def trainer(
    config: dict,
    examples: dsl.Input[dsl.Dataset],
    policy: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    run_id: str = "",
):
    """Train the config's agent off-policy and save a policy directory for serving and for the next training.

    Args:
        config: Config of the loop, as JSON.
        examples: TFRecord files from the ingester.
        policy: Policy directory, with metadata: version, parent, interactions.
        metrics: Number of interactions, mean reward, arms seen, and the condition number or the loss.
        run_id: Id of the pipeline run, recorded in the policy's manifest.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect
    from banditloop.rl_core.config import Config
    from banditloop.rl_core.policies.audits import read_audits
    from banditloop.rl_core.policies.directory import write_policy
    from banditloop.rl_core.policies.manifest import Window
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.training.train import with_action_features
    from banditloop.rl_core.training.training import Training

    settings = Config.parse(config)
    platform, metadata = connect(settings), examples.metadata
    check_start(settings, platform)
    window = Window.parse({key: metadata[key] for key in Window.model_fields if key in metadata})
    parent, previous = (
        platform.endpoint.policy(metadata[key]) if metadata.get(key) else None for key in ("parent", "previous")
    )
    training = Training.of(settings, Path(examples.path), parent, previous, platform.read_table)
    work = Path(f"{policy.path}-shards")
    statistics = platform.runner.train(settings, Path(examples.path), training.encoding, parent, work)
    statistics = with_action_features(statistics, training.encoding)
    manifest, encoding = training.result(window, statistics, run_id)
    audits = read_audits(Path(examples.path))
    write_policy(Path(policy.path), manifest, statistics, encoding, settings.policy.saved_model, audits)
    policy.metadata.update(manifest.model_dump(mode="json", include={"version", "parent", "interactions"}))
    for name, value in settings.agent.metrics(statistics).items():
        metrics.log_metric(name, value)
