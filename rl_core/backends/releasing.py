"""Moves of the release, each of them whole however many hands move at once."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from rl_core.backends import Endpoint
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.estimators.sequential import Gate
from rl_core.manifest import read_manifest
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
    """Add the policy of a directory as a version and give it what the judgement says.

    What was proved better than a champion that has gone meanwhile is only a canary beside the present one.
    """
    if judgement not in ("promote", "canary"):
        raise InvalidInput(f"judgement = {judgement!r}: give promote or canary; what is refused is not deployed")
    version, release = endpoint.add(folder), endpoint.release()
    if release and version in release.traffic():
        return version
    beaten = [verdict.champion for verdict in endpoint.verdicts() if verdict.version == version]
    if judgement == "promote" and release and (not beaten or beaten[-1] == release.champion):
        promote(endpoint, version)
    else:
        challenge(endpoint, version, config.release.canary, config.gate.margin)
    return version


def promote(endpoint: Endpoint, version: str, verdict: Verdict | None = None) -> Release:
    """Let a version answer everybody."""
    return _move(endpoint, lambda before: Release(champion=version), verdict)


def challenge(endpoint: Endpoint, version: str, share: int, margin: float, verdict: Verdict | None = None) -> Release:
    """Let a version answer a share of the users in percent, or be the shadow for 0; the champion answers the others.

    The evidence for the challengers of a champion goes on from one of them to the next: first, none of them is better.
    """

    def after(before: Release | None) -> Release:
        if before is None or before.champion == version:
            return Release(champion=version)
        if before.challenger == version and before.contest:
            return before.model_copy(update={"share": share})
        until, better = read_manifest(endpoint.policy(version)).window.until, Gate(margin=margin)
        if before.contest and before.contest.better.margin == margin:
            until, better = max(until, before.contest.until), before.contest.better
        contest = Contest(until=until, better=better)
        return Release(champion=before.champion, challenger=version, share=share, contest=contest)

    return _move(endpoint, after, verdict)


def dismiss(endpoint: Endpoint, verdict: Verdict | None = None) -> Release:
    """Let the champion answer everybody again."""

    def after(before: Release | None) -> Release:
        assert before, "nobody can be dismissed before anybody answers"
        return before.model_copy(update={"challenger": None, "share": 0})

    return _move(endpoint, after, verdict)


def _move(endpoint: Endpoint, after: Callable[[Release | None], Release], verdict: Verdict | None) -> Release:
    while True:
        before = endpoint.release()
        if (new := after(before)) == before or endpoint.move(before, new, verdict):
            return new
