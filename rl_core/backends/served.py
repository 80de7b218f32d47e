"""The policies that a serving process has loaded."""

from pathlib import Path

import numpy as np

from rl_core.backends import Endpoint
from rl_core.manifest import MANIFEST, read_manifest
from rl_core.policy import SavedPolicy


class OnePolicy:
    """The folder of AIP_STORAGE_URI, where the platform itself splits the traffic between containers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def traffic(self) -> dict[str, int]:
        """All of it for the one version, once it is there."""
        return {read_manifest(self._folder).version: 100} if (self._folder / MANIFEST).exists() else {}

    def policy(self, version: str) -> Path:
        """The folder, whatever the version."""
        return self._folder


class Served:
    """The policies behind one address, and each one's share of the requests."""

    def __init__(self, endpoint: Endpoint | OnePolicy) -> None:
        self._endpoint = endpoint
        self._traffic: dict[str, int] = {}
        self._now: tuple[tuple[SavedPolicy, ...], np.ndarray] = (), np.empty(0)  # replaced whole: requests read it

    @property
    def versions(self) -> list[str]:
        """The versions that are loaded."""
        return [policy.manifest.version for policy in self._now[0]]

    def refresh(self) -> None:
        """Load what the traffic has come to name and drop what it no longer does; all at once, or nothing."""
        traffic = self._endpoint.traffic()
        if traffic == self._traffic:
            return
        known = dict(zip(self.versions, self._now[0], strict=True))
        policies = tuple(known.get(v) or SavedPolicy.load(self._endpoint.policy(v)) for v in traffic)
        self._now = policies, np.cumsum(list(traffic.values())) / 100
        self._traffic = traffic

    def choose(self, random: np.random.Generator) -> SavedPolicy:
        """The policy for one request, drawn by traffic."""
        policies, shares = self._now
        return policies[int(np.searchsorted(shares, random.random(), side="right"))]
