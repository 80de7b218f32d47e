"""Transitions of the release. Each is atomic: a compare-and-swap, retried when the release was changed concurrently."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Manifest, read_manifest
from banditloop.rl_core.policies.release import CanaryEvidence, Release, Verdict
from banditloop.rl_core.ports import Endpoint
from banditloop.rl_core.training.lineage import random_manifest


def ensure_champion(config: Config, endpoint: Endpoint) -> None:
    """Make the random policy the champion if there is no release yet."""
    if endpoint.release() is None:
        manifest = random_manifest(config)
        with tempfile.TemporaryDirectory() as folder:
            write_policy(Path(folder), manifest, {}, Encoding.unfitted(config.task))
            endpoint.add(Path(folder))
        endpoint.set_release(None, Release(champion=manifest.version))


def deploy(config: Config, endpoint: Endpoint, folder: Path, decision: str, ungated: bool = False) -> str:
    """Add the policy of a directory as a version, apply the evaluator's decision, and return the version. Idempotent.

    "promote" makes it the champion only if the champion is still the one that it was compared with; otherwise it
    becomes a canary, as with "canary". The first policy of an endpoint is a canary beside the random policy.

    ungated: a policy without a verdict may be promoted, and an endpoint's first policy is the champion.

    Raises:
        InvalidInput: the decision is neither promote nor canary.
    """
    if decision not in ("promote", "canary"):
        raise InvalidInput(f"decision = {decision!r}: is not one of: promote, canary; a refused policy is not deployed")
    version = endpoint.add(folder)
    if not ungated:
        ensure_champion(config, endpoint)
    manifest = read_manifest(endpoint.policy(version))
    verdicts = endpoint.verdicts([version])
    if any(verdict.by != "evaluator" for verdict in verdicts):
        return version  # it was deployed before, and later decisions about it are not undone

    def after(before: Release | None) -> Release:
        if before and version in before.traffic():
            return before
        was_compared = before and verdicts[-1].champion == before.champion if verdicts else ungated
        if decision == "promote" and was_compared:
            return Release(champion=version)
        return with_challenger(before, manifest, config.release.canary_percent, config.gate.noninferiority_margin)

    _swap_release(endpoint, after)
    return version


def promote(endpoint: Endpoint, version: str, verdict: Verdict | None = None) -> Release:
    """Make a version the champion, with all of the traffic."""
    return _swap_release(endpoint, lambda before: Release(champion=version), verdict)


def start_canary(
    endpoint: Endpoint, version: str, percent: int, margin: float, verdict: Verdict | None = None
) -> Release:
    """Make a version the challenger with `percent` % of the traffic, 0 for a shadow; the champion keeps the rest."""
    manifest = read_manifest(endpoint.policy(version))
    return _swap_release(endpoint, lambda before: with_challenger(before, manifest, percent, margin), verdict)


def roll_back(endpoint: Endpoint, version: str, verdict: Verdict | None = None) -> Release:
    """Remove this challenger and give the champion all of the traffic.

    Raises:
        InvalidInput: the version is not the challenger.
    """

    def after(before: Release | None) -> Release:
        if before is None or before.challenger != version:
            raise InvalidInput(f"version {version!r}: is not the challenger any more")
        return before.without_challenger()

    return _swap_release(endpoint, after, verdict)


def with_challenger(before: Release | None, challenger: Manifest, percent: int, margin: float) -> Release:
    """The release with another challenger and `percent` % of the traffic for it.

    The evidence that a challenger is better continues over all challengers of one champion, so that the test's error
    holds for the whole line.
    """
    version = challenger.version
    if before is None:
        return Release(champion=version)
    if before.champion == version:
        return before
    if before.challenger == version and before.evidence:
        return before.model_copy(update={"challenger_percent": percent})
    until, better = challenger.window.until, BettingTest(margin=margin)
    if before.evidence and before.evidence.better.margin == margin:
        until, better = max(until, before.evidence.until), before.evidence.better.next_candidate()
    evidence = CanaryEvidence(until=until, better=better)
    return Release(champion=before.champion, challenger=version, challenger_percent=percent, evidence=evidence)


def _swap_release(
    endpoint: Endpoint, after: Callable[[Release | None], Release], verdict: Verdict | None = None
) -> Release:
    """Replace the release by `after(release)`; retry with the current one whenever it was changed concurrently."""
    while True:
        before = endpoint.release()
        if (new := after(before)) == before or endpoint.set_release(before, new, verdict):
            return new
