"""Component that tries settings of the agent and the policy, and tests the best ones against those in use."""

from typing import Optional

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tuner(
    config: dict,
    parameters: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    log: Optional[dsl.Input[dsl.Dataset]] = None,
    columns: dict = {},
    run_id: str = "",
) -> str:
    """Tune the settings in the config's search space, by the loop's log, a log in a file, or in simulation.

    Settings that are better than those in use, on data that no trial has seen, are saved in the loop, and its next
    trainings use them. On Vertex AI with training.machine_type, a hyperparameter tuning job runs the trials.

    Args:
        config: Config with a tuning section, as JSON; without a backend it is of no loop, and nothing is saved.
        log: Log with propensities, read as by the ingester; without it, the loop's. Only the objective 'log' reads one.
        columns: Names of the log's columns where they differ, as for the ingester.
        run_id: Id of the pipeline run, saved with the settings.

    Returns:
        Output: Whether the best settings are used: better or keep. (Unnamed: kfp.local has conditions on these only.)
        parameters: JSON file with the best settings, their comparison with those in use, and all trials.
        report: HTML page with the content of parameters.
        metrics: Key numbers of the comparison; time, memory and bytes.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.reports.tuning_page import write_tuning
    from banditloop.rl_core.tuning.objective import Source
    from banditloop.rl_core.tuning.tune import tune
    from banditloop.rl_core.usage import usage

    with usage(metrics.log_metric, [log.path] if log else []):
        settings, platform = connect_if_any(config)
        folder = platform.scratch / "tuning" if platform else Path(f"{parameters.path}-attempts")
        summary = tune(settings, platform, folder, Source(log.path if log else "", columns), run_id)
    for name, value in write_tuning(summary, Path(parameters.path), Path(report.path)).items():
        metrics.log_metric(name, value)
    if summary["experiment"]:
        parameters.metadata["page"] = summary["experiment"]
    return "better" if summary["better"] else "keep"
