"""Cost of the retrainings of a loop: rows, time and memory of the runs that made its versions."""

from typing import Any

from banditloop.rl_core.ports import Platform, Run

NEWEST = 20  # of the runs; a platform is asked for the artifacts of each


def retraining_rows(platform: Platform) -> list[dict[str, Any]]:
    """One row for each of the NEWEST latest runs that have ended and made a version, oldest first.

    * run, version: of the first version that it made
    * rows: interactions that the training added
    * seconds, rows_per_second: of the whole run, from its start to its end
    * cpu_seconds: sum of those that its tasks report; peak_memory_mb: the largest of them. None where none does: runs
      from before components reported them, and platforms that do not tell the metrics of a run
    """
    manifests = {manifest.run: manifest for manifest in reversed(platform.endpoint.versions()) if manifest.run}
    ended = [run for run in platform.runner.runs() if run.run_id in manifests and run.ended]
    return [
        {"run": run.run_id, "version": manifests[run.run_id].version}
        | _took(run, manifests[run.run_id].window.interactions)
        | _used(platform, run.run_id)
        for run in ended[-NEWEST:]
    ]


def _took(run: Run, rows: int) -> dict[str, Any]:
    seconds = (run.ended - run.started).total_seconds() if run.ended else 0.0
    rate = round(rows / seconds, 1) if seconds > 0 else None
    return {"rows": rows, "seconds": round(seconds, 1), "rows_per_second": rate}


def _used(platform: Platform, run_id: str) -> dict[str, float | None]:
    metrics = [artifact.metadata for artifact in platform.runner.artifacts(run_id)]
    cpu = [values["cpu_seconds"] for values in metrics if "cpu_seconds" in values]
    peaks = [values["peak_memory_mb"] for values in metrics if "peak_memory_mb" in values]
    return {"cpu_seconds": round(sum(cpu), 1) if cpu else None, "peak_memory_mb": max(peaks, default=None)}
