"""Keeps the policies of a serving process in step with the endpoint's release."""

import time
from pathlib import Path

from banditloop.rl_core.policies.manifest import MANIFEST, read_manifest
from banditloop.rl_core.policies.release import Release
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Endpoint, Vitals
from banditloop.rl_core.serving.traffic_split import LoadedPolicy, TrafficSplit

REPORT_SECONDS = 30.0


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

    def __init__(self, endpoint: Endpoint | SinglePolicySource) -> None:
        self._endpoint = endpoint
        self._knows_shares = not isinstance(endpoint, SinglePolicySource)
        self._policies: dict[str, LoadedPolicy] = {}
        self.split: TrafficSplit | None = None
        self._reported: tuple[list[str], float] = [], 0.0  # the versions of the last report, and its time

    @property
    def versions(self) -> dict[str, Vitals]:
        """The vitals of the loaded versions."""
        return {
            version: Vitals(policy.decisions, policy.failures, policy.p95_latency_ms())
            for version, policy in self._policies.items()
        }

    def refresh(self) -> None:
        """Load the versions that the release newly names and drop those it no longer names.

        If one cannot be loaded, the error is raised and the split stays as it was. A process without a split then
        serves the champion alone, if only the challenger failed.
        """
        release = self._endpoint.release()
        if release is None:
            return
        champion = self._load(release.champion)
        if self.split is None:
            self._replace_split(TrafficSplit(champion, knows_shares=self._knows_shares))
        challenger = self._load(release.challenger) if release.challenger else None
        self._replace_split(TrafficSplit(champion, challenger, release.challenger_percent, self._knows_shares))

    def report(self) -> None:
        """Report the vitals of the loaded versions: at once when these have changed, else now and then."""
        versions, now = list(self._policies), time.monotonic()
        if versions != self._reported[0] or now - self._reported[1] > REPORT_SECONDS:
            self._endpoint.report_vitals(self.versions)
            self._reported = versions, now

    def _load(self, version: str) -> LoadedPolicy:
        return self._policies.get(version) or LoadedPolicy(SavedPolicy.load(self._endpoint.policy(version)))

    def _replace_split(self, split: TrafficSplit) -> None:
        policies = [split.champion, *([split.challenger] if split.challenger else [])]
        self.split, self._policies = split, {policy.policy.manifest.version: policy for policy in policies}
