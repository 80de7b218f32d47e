"""The versions of a local endpoint: a folder of immutable policy directories."""

import logging
from pathlib import Path

from banditloop.rl_core.backends.local.files import copy_atomically, identity, remove_folder
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.directory import verify_policy
from banditloop.rl_core.policies.manifest import Manifest, read_manifest

log = logging.getLogger("banditloop.endpoint")


class VersionFolder:
    """Policy directories by version. A manifest never changes, so it is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity: tuple[int, ...] | None = None  # of the folder whose names were read
        self._manifests: dict[str, Manifest] = {}  # by version, oldest first
        self._damaged: set[str] = set()

    def path(self, version: str) -> Path:
        """The directory of a version."""
        return self._folder / version

    def add(self, policy: Path, version: str) -> None:
        """Copy a policy directory, unless the version is there and intact. One process at a time may do so."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            verify_policy(self.path(version))
        except InvalidInput:
            remove_folder(self.path(version))
            copy_atomically(policy, self.path(version))

    def remove(self, version: str) -> None:
        """Remove a version, if it is there."""
        remove_folder(self.path(version))

    def manifests(self) -> list[Manifest]:
        """The manifests of all versions, oldest first. Versions whose manifest is damaged are left out, and logged."""
        latest = identity(self._folder)
        if latest != self._identity or self._damaged:
            self._identity = latest
            names = [path.name for path in self._folder.glob("[!.]*")]
            manifests = [manifest for name in names if (manifest := self._manifest(name))]
            manifests.sort(key=lambda manifest: (manifest.window.until, manifest.generation))
            self._manifests = {manifest.version: manifest for manifest in manifests}
        return list(self._manifests.values())

    def _manifest(self, version: str) -> Manifest | None:
        if version in self._manifests:
            return self._manifests[version]
        try:
            manifest = read_manifest(self.path(version))
        except InvalidInput as error:
            if version not in self._damaged and self.path(version).exists():  # or it was removed meanwhile
                self._damaged.add(version)
                log.error("%s; version %s is left out", error, version)
            return None
        self._damaged.discard(version)
        return manifest
