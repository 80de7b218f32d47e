"""Retention: which versions, runs and dead letters are removed, and what is never removed.

Always kept are the versions of the release, from which training resumes; those that may have logged decisions since the
champion was trained, which evaluation still reads; and the runs that decided on the versions of the release.
"""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from banditloop.rl_core.config import Config
from banditloop.rl_core.events.schema import KEYS
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.ports import Platform


class Pruned(NamedTuple):
    """What was removed, or would be."""

    versions: list[str]
    runs: list[str]
    dead_letters: dict[str, int]  # by topic

    def __str__(self) -> str:
        letters = sum(self.dead_letters.values())
        return f"{len(self.versions):,} versions, {len(self.runs):,} runs, {letters:,} dead letters"


def prune(config: Config, platform: Platform, dry_run: bool = False) -> Pruned:
    """Remove what the config's retention section does not keep. Nothing may be removed while a retraining runs."""
    keep, release = config.retention, platform.endpoint.release()
    before = datetime.now(UTC) - timedelta(days=keep.dead_letter_days)
    dead_letters = {topic: platform.bus.prune_dead_letters(topic, before, dry_run) for topic in KEYS}
    runs = platform.runner.runs()
    if release is None or any(run.state == "running" for run in runs):
        return Pruned([], [], dead_letters)
    manifests, verdicts = platform.endpoint.versions(), platform.endpoint.verdicts()
    needed = needed_versions(release, manifests, verdicts)
    versions = [manifest.version for manifest in manifests[: -keep.versions] if manifest.version not in needed]
    deciding = set(_deciding_runs(release, manifests, verdicts))
    ended = [run.run_id for run in runs[: -keep.runs] if run.run_id not in deciding]
    for version in [] if dry_run else versions:
        platform.endpoint.remove(version)
    return Pruned(versions, list(platform.runner.remove(ended, dry_run)), dead_letters)


def needed_versions(release: Release, manifests: list[Manifest], verdicts: list[Verdict]) -> set[str]:
    """The versions of the release, and all that may have logged decisions since its champion was trained.

    These are the versions that a verdict names since then, and those that served at that time: the last ones that
    became champion or canary before it. Without the champion's manifest, all are needed.
    """
    trained = next((m.window.until for m in manifests if m.version == release.champion), None)
    if trained is None:
        return {manifest.version for manifest in manifests}
    earlier = list(itertools.takewhile(lambda verdict: verdict.at < trained, verdicts))
    since = verdicts[len(earlier) :]
    serving = [
        next((v for v in reversed(earlier) if v.decision == decision), None) for decision in ("promote", "canary")
    ]
    named = [verdict for verdict in [*serving, *since] if verdict]
    return {name for verdict in named for name in (verdict.version, verdict.champion)} | release.traffic().keys()


def _deciding_runs(release: Release, manifests: list[Manifest], verdicts: list[Verdict]) -> Iterator[str]:
    """The runs that trained the versions of the release or decided on them: their pages say why these serve."""
    released = release.traffic()
    yield from (manifest.run for manifest in manifests if manifest.version in released)
    yield from (verdict.run for verdict in verdicts if verdict.version in released)
