"""Component that tests whether a new policy is better or worse than the champion on held-out interactions."""

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluator(
    config: dict,
    policy: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    run_id: str = "",
) -> str:
    """Compare a policy with the champion on held-out interactions; save the verdict, and a refused policy too.

    Args:
        config: Config of the loop, as JSON.
        policy: Policy directory from the trainer.
        evaluation: JSON file with the verdict and its reason, estimates with intervals, and diagnostics.
        report: HTML page with the content of evaluation.
        metrics: Key numbers of the evaluation.
        run_id: Id of the pipeline run, recorded in the verdict.

    Returns:
        Decision: promote, canary or refuse. (Unnamed, because kfp.local supports conditions on unnamed outputs only.)
    """
    import json
    from pathlib import Path

    from banditloop.rl_core.backends import connect
    from banditloop.rl_core.config import Config
    from banditloop.rl_core.evaluation.summary import kfp_metrics
    from banditloop.rl_core.promotion.candidate import evaluate_candidate, save_verdict
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.reports.evaluation_page import write_page

    settings = Config.parse(config)
    platform, folder = connect(settings), Path(policy.path)
    check_start(settings, platform)
    verdict, summary = evaluate_candidate(platform, settings, folder, run_id)
    Path(evaluation.path).write_text(json.dumps(summary, indent=2))
    write_page(summary, Path(report.path), settings.backend.process_folder())
    for name, value in kfp_metrics(summary).items():
        metrics.log_metric(name, value)
    save_verdict(platform.endpoint, folder, verdict)
    return verdict.decision
