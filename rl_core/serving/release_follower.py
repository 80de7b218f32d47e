"""Keeps the policies of a serving process in step with the endpoint's release."""

import time
from pathlib import Path

import numpy as np

from banditloop.rl_core.policies.manifest import MANIFEST, read_manifest
from banditloop.rl_core.policies.release import Release
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Endpoint, Vitals
from banditloop.rl_core.serving.traffic_split import DECISIONS, FAILURES, LATENCY, LoadedPolicy, TrafficSplit
from banditloop.rl_core.serving.worker_counts import STOPPED, WAITING, WorkerCounts

REPORT_SECONDS = 30.0
VERSION = "version"  # kind of row


class SinglePolicySource:
    """The policy directory at AIP_STORAGE_URI, for platforms that split the traffic between containers themselves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def release(self) -> Release | None:
        """A release with the directory's policy as champion; None until the directory is complete."""
        return Release(champion=read_manifest(self._folder).version) if (self._folder / MANIFEST).exists() else None

    def policy(self, version: str) -> Path:
        """The directory, for every version."""
        return self._folder

    def report_vitals(self, vitals: dict[str, Vitals]) -> None:
        """Nothing: the platform watches the container."""


class ReleaseFollower:
    """Loads the policies of the endpoint's release. `split` serves them; requests read it, `refresh` replaces it."""

    def __init__(self, endpoint: Endpoint | SinglePolicySource, counts: WorkerCounts | None = None) -> None:
        self._endpoint, self._counts = endpoint, counts or WorkerCounts()
        self._knows_shares = not isinstance(endpoint, SinglePolicySource)
        self._policies: dict[str, LoadedPolicy] = {}
        self.split: TrafficSplit | None = None
        self._reported: tuple[list[str], float] = [], 0.0  # the versions of the last report, and its time

    @property
    def versions(self) -> dict[str, Vitals]:
        """The vitals of the versions that the predictor's workers have loaded: sums, and the highest latency."""
        states, rows = self._counts.states(), self._counts.by_name(VERSION)
        versions = {}
        for version in sorted(rows, key=lambda version: version not in self._policies):
            values = np.sum(list(rows[version].values()), axis=0)
            if latencies := [row[LATENCY] for worker, row in rows[version].items() if states[worker] != STOPPED]:
                versions[version] = Vitals(int(values[DECISIONS]), int(values[FAILURES]), float(max(latencies)))
        return versions

    @property
    def is_ready(self) -> bool:
        """Whether every worker that answers has a policy."""
        return WAITING not in self._counts.states() and self.split is not None

    def beat(self) -> None:
        """Note that this worker answers, whether it has a policy, and how fast it decides."""
        for policy in self._policies.values():
            policy.note_latency()
        self._counts.beat(self.split is not None)

    def refresh(self) -> None:
        """Load the versions that the release newly names and drop those it no longer names.

        If one cannot be loaded, the error is raised and the split stays as it was. A process without a split then
        serves the champion alone, if only the challenger failed.
        """
        release = self._endpoint.release()
        if release is None:
            return
        try:
            champion = self._load(release.champion)
            if self.split is None:
                self._replace_split(TrafficSplit(champion, knows_shares=self._knows_shares))
            challenger = self._load(release.challenger) if release.challenger else None
            self._replace_split(TrafficSplit(champion, challenger, release.challenger_percent, self._knows_shares))
        finally:
            self._counts.keep(VERSION, self._policies)

    def report(self) -> None:
        """Report the vitals of the loaded versions: at once when the versions change, else every REPORT_SECONDS."""
        vitals, now = self.versions, time.monotonic()
        if list(vitals) != self._reported[0] or now - self._reported[1] > REPORT_SECONDS:
            self._endpoint.report_vitals(vitals)
            self._reported = list(vitals), now

    def _load(self, version: str) -> LoadedPolicy:
        if loaded := self._policies.get(version):
            return loaded
        return LoadedPolicy(SavedPolicy.load(self._endpoint.policy(version)), self._counts.row(VERSION, version))

    def _replace_split(self, split: TrafficSplit) -> None:
        policies = [split.champion, *([split.challenger] if split.challenger else [])]
        self.split, self._policies = split, {policy.policy.manifest.version: policy for policy in policies}
