"""Component that passes on the best of several policies."""

from typing import List  # noqa: UP035 (KFP knows no other list of artifacts)

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def selector(
    config: dict,
    policies: dsl.Input[List[dsl.Model]],  # noqa: UP006
    trials: list,
    policy: dsl.Output[dsl.Model],
    comparison: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    episodes: int = 2000,
):
    """Compare policies by what they earn in the environment of the config, and pass on the best.

    Settings are compared by the mean over their seeds; of the best settings, the best policy is passed on.

    Args:
        config: Config with an environment, as JSON.
        policies: Policy directories, as the on-policy trainer writes them.
        trials: What each was trained with, as {"seed": 0, "hyperparameters": {"learning_rate": 0.001}}, in their order.
        episodes: Number of episodes that each policy plays, the same ones for all, in an environment of episodes.

    Returns:
        policy: The best policy, with metadata: version, interactions.
        comparison: JSON file with the mean reward of each policy, its standard error, and the difference to the best.
        report: HTML page with the content of comparison.
        metrics: Number of policies, and the mean reward of the best; time, memory and bytes.
    """
    import shutil
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.policies.manifest import read_manifest
    from banditloop.rl_core.promotion.selection import runs_of, select_policy
    from banditloop.rl_core.reports.selection_page import write_selection
    from banditloop.rl_core.usage import usage

    folders = [Path(model.path) for model in policies]
    with usage(metrics.log_metric, folders):
        settings, platform = connect_if_any(config)
        scratch = platform.scratch if platform else None
        best, compared = select_policy(settings, folders, trials, episodes, scratch)
    for name, value in write_selection(compared, Path(comparison.path), Path(report.path)).items():
        metrics.log_metric(name, value)
    if platform and (page := platform.record_runs("policies", runs_of(compared))):
        comparison.metadata["page"] = page
    shutil.copytree(best, policy.path, dirs_exist_ok=True)
    manifest = read_manifest(best)
    policy.metadata.update(version=manifest.version, interactions=manifest.interactions)
