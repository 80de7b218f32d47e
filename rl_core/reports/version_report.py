"""The numbers of `banditloop release show`: everything that is known about one version."""

from typing import Any

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.ports import Platform, RunArtifact
from banditloop.rl_core.reports.versions import DATES, ORIGIN, TOTALS, version_rows

ESTIMATES = {"candidate": "candidate_dr", "champion": "champion_dr", "difference": "difference"}  # metrics by name

METRICS = "metrics"  # name of a task's artifact


def version_report(platform: Platform, version: str) -> dict[str, Any]:
    """A version's row of `version_rows` with its lineage, agent, estimates, page and verdicts.

    * lineage: the versions that it resumed from, one after the other, the nearest first
    * estimates: doubly robust, of the mean rewards and their difference on held-out interactions, by its run's
      evaluator; none where the run or its metrics are not known any more
    * report: URI of the evaluation's page; empty where it is not known
    * training: page of the run that made it, metrics of the training, and the URIs of its other artifacts by name, such
      as its curve; empty where the run is not known any more
    * verdicts: all about it, oldest first

    Raises:
        InvalidInput: there is no such version.
    """
    rows = {row["version"]: row for row in version_rows(platform, *TOTALS, *ORIGIN, *DATES)}
    if version not in rows:
        raise InvalidInput(f"version {version!r}: there is no such version")
    manifests = {manifest.version: manifest for manifest in platform.endpoint.versions()}
    verdicts = platform.endpoint.verdicts([version])
    judged = next((verdict.run for verdict in verdicts if verdict.by == "evaluator"), "")
    manifest, artifacts = manifests[version], _artifacts(platform, judged)
    return rows[version] | {
        "lineage": _lineage(manifests, manifest),
        "agent": manifest.agent,
        "exploration": manifest.exploration,
        "estimates": _estimates(artifacts),
        "report": next((artifact.uri for artifact in artifacts if artifact.name == "report"), ""),
        "training": _training(platform, manifest),
        "verdicts": [
            verdict.model_dump(mode="json", include={"at", "decision", "by", "champion", "reason", "run"})
            for verdict in verdicts
        ],
    }


def _lineage(manifests: dict[str, Manifest], manifest: Manifest) -> list[str]:
    """The ancestors, the nearest first; the last ones may have been pruned."""
    lineage = list[str]()
    while (parent := manifest.parent) and parent not in lineage:
        lineage.append(parent)
        if parent not in manifests:
            break
        manifest = manifests[parent]
    return lineage


def _training(platform: Platform, manifest: Manifest) -> dict[str, Any]:
    """The page, metrics and artifacts of the task that wrote a version, from its run."""
    artifacts = _artifacts(platform, manifest.run)
    written = (artifact.task for artifact in artifacts if artifact.metadata.get("version") == manifest.version)
    task = next(written, None)
    if task is None:
        return {}
    own = [artifact for artifact in artifacts if artifact.task == task]
    metrics = {name: value for artifact in own if artifact.name == METRICS for name, value in artifact.metadata.items()}
    uris = {artifact.name: artifact.uri for artifact in own if artifact.name != METRICS}
    return {"page": platform.runner.page(manifest.run), "metrics": metrics, "written": uris}


def _artifacts(platform: Platform, run: str) -> list[RunArtifact]:
    try:
        return platform.runner.artifacts(run) if run else []
    except InvalidInput:  # the run was pruned, or the version comes from elsewhere
        return []


def _estimates(artifacts: list[RunArtifact]) -> list[dict[str, Any]]:
    metrics = {name: value for artifact in artifacts for name, value in artifact.metadata.items()}
    return [
        {"estimate": name, "value": metrics[key], "low": metrics.get(f"{key}_low"), "high": metrics.get(f"{key}_high")}
        for name, key in ESTIMATES.items()
        if key in metrics
    ]
