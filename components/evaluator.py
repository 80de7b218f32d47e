"""The evaluator says whether a new policy is proved better than the champion, proved worse, or neither."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluator(
    config: dict,
    policy: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    run_id: str = "",
) -> str:
    """Compare a policy with the champion on held-out interactions, and keep the verdict; a refused policy too.

    Args:
        config: The loop's config.
        policy: The trainer's policy directory.
        evaluation: JSON: the verdict with its reasons, estimates with intervals, diagnostics.
        report: The same as a page to look at.
        metrics: The most important of it.
        run_id: The pipeline run, for the verdict.

    Returns:
        The judgement: promote, canary or refuse. (kfp.local reads conditions on outputs without a name only.)
    """
    import json
    from pathlib import Path

    from rl_core.backends import connect
    from rl_core.backends.evaluating import evaluate_candidate, keep
    from rl_core.config import Config
    from rl_core.evaluation.figures import metrics as figures
    from rl_core.evaluation.page import write_page

    settings = Config.parse(config)
    platform, folder = connect(settings), Path(policy.path)
    verdict, found = evaluate_candidate(platform, settings, folder, run_id)
    Path(evaluation.path).write_text(json.dumps(found, indent=2))
    write_page(found, Path(report.path))
    for name, figure in figures(found).items():
        metrics.log_metric(name, figure)
    keep(platform.endpoint, folder, verdict)
    return verdict.judgement
