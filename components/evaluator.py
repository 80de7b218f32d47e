"""Component that tests whether a new policy is better or worse than the champion, or than a baseline on a log."""

from typing import Optional

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluator(
    config: dict,
    policy: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    log: Optional[dsl.Input[dsl.Dataset]] = None,
    columns: dict = {},
    baseline: Optional[dsl.Input[dsl.Model]] = None,
    least_propensity: float = 0.0,
    run_id: str = "",
) -> str:
    """Compare a policy with the champion on the loop's held-out interactions, or with a baseline on a log in a file.

    The verdict on a loop's policy is saved, and a refused policy too. A log in a file is read as by the ingester.

    Args:
        config: Config of the loop, as JSON; for a log in a file, one with a task is enough.
        policy: Policy directory from the trainer.
        log: Log with propensities, which the policy was not trained on; without it, the loop's log is read.
        columns: Names of the log's columns where they differ, as for the ingester.
        baseline: Policy directory to compare with on the log; without it, whatever took the logged actions.
        least_propensity: That of any action in the log; at 0, unknown, there is no evidence against a baseline.
        run_id: Id of the pipeline run, recorded in the verdict.

    Returns:
        Output: Decision: promote, canary or refuse. (Unnamed: kfp.local has conditions on unnamed outputs only.)
        evaluation: JSON file with verdict, estimates and diagnostics; TensorBoard's page or logs in the metadata.
        report: HTML page with the content of evaluation.
        metrics: Key numbers of the evaluation; time, memory, bytes and rows per second.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.promotion.candidate import save_verdict
    from banditloop.rl_core.promotion.cpe import show_cpe
    from banditloop.rl_core.promotion.steps import evaluate_step
    from banditloop.rl_core.reports.evaluation_page import write_evaluation
    from banditloop.rl_core.usage import usage

    folder, source, pages = Path(policy.path), Path(log.path) if log else None, (evaluation.path, report.path)
    other = Path(baseline.path) if baseline else None
    with usage(metrics.log_metric, [path for path in (folder, source, other) if path], pages) as count_rows:
        settings, platform = connect_if_any(config)
        verdict, summary = evaluate_step(settings, platform, folder, source, columns, other, least_propensity, run_id)
        shared = settings.backend.process_folder() if platform else None
        numbers = write_evaluation(summary, *map(Path, pages), shared)
        count_rows(summary["interactions"])
    for name, value in numbers.items():
        metrics.log_metric(name, value)
    if platform and not log:
        save_verdict(platform.endpoint, folder, verdict)
        if page := show_cpe(platform, folder, summary):
            evaluation.metadata["tensorboard"] = page
    return verdict.decision
