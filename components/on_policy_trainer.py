"""Component that trains a policy on-policy, in the environment of the config."""

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def on_policy_trainer(
    config: dict,
    policy: dsl.Output[dsl.Model],
    curve: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    tensorboard: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    agent: str = "",
    hyperparameters: dict = {},
    training_loops: int = 0,
    steps_per_loop: int = 0,
    batch_size: int = 0,
    seed: int = -1,
    profile: bool = False,
    run_id: str = "",
):
    """Train an agent on what its own decisions earn in a simulated environment, and save a policy directory.

    A task that is tried again goes on from its last checkpoint.

    Args:
        config: Config with an environment, as JSON; without a backend it is of no loop.
        agent: Name of the agent; empty is the config's.
        hyperparameters: Settings of the agent by name, as {"alpha": 10.0} of linucb.
        training_loops: Number of loops; 0 is the config's, or 5.
        steps_per_loop: Steps in the environment between two trainings; 0 is the config's, or 2.
        batch_size: Decisions in a step, of episodes side by side; 0 is the config's, or 8.
        seed: Seed of contexts, decisions and rewards; -1 is the config's, or 0.
        profile: Whether to trace the first loops for TensorBoard's profiler.
        run_id: Id of the pipeline run, recorded in the policy's manifest.

    Returns:
        policy: Policy directory, which is a SavedModel too, with metadata: version, interactions.
        curve: JSON file with baselines, and average return of every loop; also regret, or length, entropy and losses.
        report: HTML page with the content of curve.
        tensorboard: Folder of TensorBoard's logs, with the page in Vertex AI TensorBoard where the backend names one.
        metrics: Average return and regret, also of the last loop; of episodes the last loop's measures; time, memory.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.promotion.on_policy import on_policy_step
    from banditloop.rl_core.reports.on_policy_page import write_training_report
    from banditloop.rl_core.training.hyperparameters import with_hyperparameters, with_on_policy
    from banditloop.rl_core.usage import usage

    counts = {"training_loops": training_loops, "steps_per_loop": steps_per_loop, "batch_size": batch_size}
    given = {name: count for name, count in counts.items() if count} | ({"seed": seed} if seed >= 0 else {})
    values = with_on_policy(with_hyperparameters(config, agent, None, hyperparameters), given)
    folder, checkpoints, logs = Path(policy.path), Path(f"{policy.path}-checkpoints"), Path(tensorboard.path)
    with usage(metrics.log_metric, written=[folder, logs]) as count_rows:
        settings, platform = connect_if_any(values)
        trained = on_policy_step(settings, platform, folder, checkpoints, True, run_id, logs, profile)
        count_rows(trained.curve.interactions)
    for name, value in write_training_report(settings, trained, Path(curve.path), Path(report.path)).items():
        metrics.log_metric(name, value)
    policy.metadata.update(version=trained.manifest.version, interactions=trained.manifest.interactions)
    name = run_id or trained.manifest.version
    if platform and (page := platform.show_scalars(name, trained.curve.scalars(), logs)):
        tensorboard.metadata["page"] = page
