"""Moves of the release, each of them whole however many hands move at once."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from rl_core.backends import Endpoint
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.estimators.sequential import Gate
from rl_core.manifest import Manifest, read_manifest
from rl_core.policy import write_policy
from rl_core.release import Contest, Release, Verdict
from rl_core.training import random_manifest


def start(config: Config, endpoint: Endpoint) -> None:
    """Let the random policy answer where nobody does. Imports TensorFlow then."""
    if endpoint.release() is None:
        manifest = random_manifest(config)
        with tempfile.TemporaryDirectory() as folder:
            write_policy(Path(folder), manifest, config.agent.start(manifest.dim, manifest.actions))
            endpoint.add(Path(folder))
        endpoint.move(None, Release(champion=manifest.version))


def deploy(config: Config, endpoint: Endpoint, folder: Path, judgement: str) -> str:
    """Add the policy of a directory as a version and give it what the judgement says; once, however often asked.

    What was proved better than a champion that has gone meanwhile is only a canary beside the present one.
    """
    if judgement not in ("promote", "canary"):
        raise InvalidInput(f"judgement = {judgement!r}: give promote or canary; what is refused is not deployed")
    version = endpoint.add(folder)
    manifest = read_manifest(endpoint.policy(version))
    about = [verdict for verdict in endpoint.verdicts() if verdict.version == version]
    if any(verdict.by != "evaluator" for verdict in about):
        return version  # it was deployed, and what became of it since is not undone

    def after(before: Release | None) -> Release:
        if before and version in before.traffic():
            return before
        if judgement == "promote" and before and (not about or about[-1].champion == before.champion):
            return Release(champion=version)
        return challenged(before, manifest, config.release.canary, config.gate.margin)

    _move(endpoint, after)
    return version


def promote(endpoint: Endpoint, version: str, verdict: Verdict | None = None) -> Release:
    """Let a version answer everybody."""
    return _move(endpoint, lambda before: Release(champion=version), verdict)


def challenge(endpoint: Endpoint, version: str, share: int, margin: float, verdict: Verdict | None = None) -> Release:
    """Let a version answer a share of the users in percent, or be the shadow for 0; the champion answers the others."""
    manifest = read_manifest(endpoint.policy(version))
    return _move(endpoint, lambda before: challenged(before, manifest, share, margin), verdict)


def dismiss(endpoint: Endpoint, version: str, verdict: Verdict | None = None) -> Release:
    """Let the champion answer everybody again, in place of this challenger."""

    def after(before: Release | None) -> Release:
        if before is None or before.challenger != version:
            raise InvalidInput(f"version {version!r}: does not challenge the champion any more")
        return before.dismissed()

    return _move(endpoint, after, verdict)


def challenged(before: Release | None, challenger: Manifest, share: int, margin: float) -> Release:
    """The release with another challenger.

    The evidence for the challengers of a champion goes on from one to the next: that any of them is better.
    """
    version = challenger.version
    if before is None:
        return Release(champion=version)
    if before.champion == version:
        return before
    if before.challenger == version and before.contest:
        return before.model_copy(update={"share": share})
    until, better = challenger.window.until, Gate(margin=margin)
    if before.contest and before.contest.better.margin == margin:
        until, better = max(until, before.contest.until), before.contest.better
    contest = Contest(until=until, better=better)
    return Release(champion=before.champion, challenger=version, share=share, contest=contest)


def _move(endpoint: Endpoint, after: Callable[[Release | None], Release], verdict: Verdict | None = None) -> Release:
    while True:
        before = endpoint.release()
        if (new := after(before)) == before or endpoint.move(before, new, verdict):
            return new
