"""What a serving process has loaded, following the release."""

from pathlib import Path

from rl_core.backends import Endpoint, Vitals
from rl_core.manifest import MANIFEST, read_manifest
from rl_core.policy import SavedPolicy
from rl_core.release import Release
from rl_core.serving import Served, Serving


class OnePolicy:
    """The folder of AIP_STORAGE_URI, where the platform itself splits the traffic between containers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def release(self) -> Release | None:
        """Its one version, once it is there."""
        return Release(champion=read_manifest(self._folder).version) if (self._folder / MANIFEST).exists() else None

    def policy(self, version: str) -> Path:
        """The folder, whatever the version."""
        return self._folder


class Follower:
    """Keeps `serving` at what the endpoint's release names. Requests read it; it is replaced whole."""

    def __init__(self, endpoint: Endpoint | OnePolicy) -> None:
        self._endpoint = endpoint
        self._known: dict[str, Served] = {}
        self.serving: Serving | None = None

    @property
    def versions(self) -> dict[str, Vitals]:
        """The versions that are loaded, and how they are doing."""
        return {v: Vitals(s.decisions, s.failures, s.milliseconds()) for v, s in self._known.items()}

    def refresh(self) -> None:
        """Load what the release has come to name and drop what it no longer does; all at once, or nothing."""
        release = self._endpoint.release()
        if release is None:
            return
        known = {version: self._known.get(version) or self._load(version) for version in release.traffic()}
        challenger = known[release.challenger] if release.challenger else None
        self.serving, self._known = Serving(known[release.champion], challenger, release.share), known

    def _load(self, version: str) -> Served:
        return Served(SavedPolicy.load(self._endpoint.policy(version)))
