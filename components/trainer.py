"""The trainer makes a policy of interactions, resuming from the deployed one."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def trainer(
    config: dict,
    examples: dsl.Input[dsl.Dataset],
    policy: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    run_id: str = "",
):
    """Train the config's agent off-policy and save the policy for TF-Agents, for serving and for the next training.

    Args:
        config: The loop's config.
        examples: TFRecord files of the ingester.
        policy: The policy directory; metadata: version, parent, interactions.
        metrics: interactions, mean reward, arms seen, and the condition number or the loss.
        run_id: The pipeline run, for the policy's lineage.
    """
    from pathlib import Path

    from rl_core.backends import connect
    from rl_core.backends.scale import trained
    from rl_core.config import Config
    from rl_core.manifest import Window, read_manifest
    from rl_core.policy import write_policy
    from rl_core.training import next_manifest

    settings = Config.parse(config)
    version = examples.metadata["parent"]
    parent = connect(settings).endpoint.policy(version) if version else None
    window = Window.parse({key: examples.metadata[key] for key in Window.model_fields if key in examples.metadata})
    statistics = trained(settings, Path(examples.path), parent, Path(f"{policy.path}-shares"))
    manifest = next_manifest(settings, window, read_manifest(parent) if parent else None, run_id)
    write_policy(Path(policy.path), manifest, statistics)
    policy.metadata.update(manifest.model_dump(mode="json", include={"version", "parent", "interactions"}))
    for name, figure in settings.agent.metrics(statistics).items():
        metrics.log_metric(name, figure)
