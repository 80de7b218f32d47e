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
        """Load what the release has come to name and drop what it no longer does.

        Without the champion nothing changes; a challenger that cannot be loaded leaves all to the champion.
        """
        release = self._endpoint.release()
        if release is None:
            return
        champion = self._load(release.champion)
        if self.serving is None:
            self._serve(release.champion, Serving(champion))
        challenger = self._load(release.challenger) if release.challenger else None
        self._serve(release.champion, Serving(champion, challenger, release.share))

    def _load(self, version: str) -> Served:
        return self._known.get(version) or Served(SavedPolicy.load(self._endpoint.policy(version)))

    def _serve(self, champion: str, serving: Serving) -> None:
        known = [serving.champion, *([serving.challenger] if serving.challenger else [])]
        self.serving, self._known = serving, {served.policy.manifest.version: served for served in known}
