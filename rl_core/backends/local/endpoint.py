"""The local endpoint: a folder of policy versions and the release, served over HTTP by the predictor process."""

import json
import logging
import os
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from pydantic import ValidationError

from banditloop.rl_core.backends.local.files import REPAIRED, identity, write_atomically
from banditloop.rl_core.backends.local.verdict_file import VerdictFile
from banditloop.rl_core.backends.local.version_folder import VersionFolder
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.decision import Decision
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.policies.tuned import Tuned
from banditloop.rl_core.ports import HEALTH_ROUTE, CloudResource, Vitals

if TYPE_CHECKING:
    from banditloop.rl_core.client import Client

PREDICT_SECONDS = 60.0  # timeout of a prediction, and how long it is retried
RELEASE_FILES = ("release.json", "release.copy.json")  # the second is read where the first is damaged
TUNED_FILE, SERVER_FILE = "tuned.json", "server.json"
VITALS_SECONDS = 5.0  # to wait for the figures of the serving process
log = logging.getLogger("banditloop.endpoint")


class LocalEndpoint:
    """See banditloop.rl_core.ports.Endpoint.

    The folder holds versions/<version>/, immutable policy directories; release.json, the current release, and
    a copy of it; verdicts.jsonl, one verdict per line; tuned.json, the tuned settings; and server.json, the URL of the
    serving process. Every change is atomic: one rename, or one line appended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions, self._verdicts = VersionFolder(folder / "versions"), VerdictFile(folder / "verdicts.jsonl")
        self._release: Release | None = None
        self._release_identity: list[tuple[int, ...] | None] = []  # of the files that it was read from

    def add(self, folder: Path) -> str:
        version = SavedPolicy.load(folder).manifest.version
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / "lock"):
            self._versions.add(folder, version)
        return version

    def remove(self, version: str) -> None:
        with FileLock(self._folder / "lock"):
            release = self.release()
            if release and version in release.traffic():
                raise InvalidInput(f"version {version!r}: is the {release.role(version)}, and cannot be removed")
            self._versions.remove(version)

    def list_endpoints(self) -> list[str]:
        return sorted(path.parent.name for path in self._folder.parent.glob("*/versions"))

    def versions(self) -> list[Manifest]:
        return self._versions.manifests()

    def release(self) -> Release | None:
        latest = [identity(self._folder / name) for name in RELEASE_FILES]
        if latest != self._release_identity:
            self._release, self._release_identity = self._read_release(), latest
        return self._release

    def _read_release(self) -> Release | None:
        """The release in the first of its files that is whole. InvalidInput: none of them is."""
        damaged = []
        for path in (self._folder / name for name in RELEASE_FILES):
            try:
                release = Release.model_validate_json(path.read_bytes())
            except FileNotFoundError:
                continue
            except ValidationError:
                damaged.append(path)
                continue
            for other in damaged:
                log.error("%s: is damaged; its copy is used", other, extra=REPAIRED)
            return release
        if damaged:
            raise InvalidInput(
                f"{self._folder}: {' and '.join(path.name for path in damaged)} are damaged; delete them: "
                "`banditloop serve` then begins with the random policy; name another by `banditloop release promote`"
            )
        return None

    def set_release(self, expected: Release | None, new: Release, verdict: Verdict | None = None) -> bool:
        with FileLock(self._folder / "lock"):
            for version in new.traffic():
                if not self.policy(version).is_dir():
                    names = ", ".join(manifest.version for manifest in self.versions())
                    raise InvalidInput(f"version {version!r}: is not one of: {names or 'none'}")
            if self.release() != expected:
                return False
            if verdict:
                self._verdicts.append(verdict)  # first: a crash must not leave a release without its verdict
            for name in RELEASE_FILES:
                write_atomically(self._folder / name, new.model_dump_json())
        return True

    def add_verdict(self, verdict: Verdict) -> None:
        with FileLock(self._folder / "lock"):
            self._verdicts.append(verdict)

    def verdicts(self, versions: Collection[str] | None = None) -> list[Verdict]:
        return self._verdicts.read(versions)

    def tuned(self) -> Tuned | None:
        path = self._folder / TUNED_FILE
        if not path.exists():
            return None
        try:
            return Tuned.model_validate_json(path.read_bytes())
        except ValidationError:
            raise InvalidInput(f"{path}: is damaged; delete it, and tune again") from None

    def set_tuned(self, tuned: Tuned) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / TUNED_FILE, tuned.model_dump_json())

    def policy(self, version: str) -> Path:
        return self._versions.path(version)

    def serving_versions(self) -> list[str]:
        return list(self.vitals())

    def vitals(self) -> dict[str, Vitals]:
        try:
            versions = json.loads(self.health(VITALS_SECONDS) or "{}").get("versions", {})
            return {version: Vitals(*values) for version, values in versions.items()}
        except (ValueError, TypeError, AttributeError):  # another program has the port that was the server's
            return {}

    def health(self, seconds: float) -> str | None:
        """The serving process's answer to a health check; None if none comes within these seconds."""
        if not (self._folder / SERVER_FILE).exists():
            return None
        import httpx  # takes a tenth of a second to import

        from banditloop.rl_core.client.requests import trusted

        try:
            return httpx.get(f"{self.url()}{HEALTH_ROUTE}", timeout=seconds, verify=trusted()).text
        except (InvalidInput, httpx.HTTPError):
            return None

    def predict(self, instances: list[Any]) -> list[Decision]:
        return self._client.rank_all(instances)

    @cached_property
    def _client(self) -> "Client":
        from banditloop.rl_core.client import Client

        return Client(self.url, timeout=PREDICT_SECONDS, retry_seconds=PREDICT_SECONDS)

    def url(self) -> str:
        """URL of the serving process."""
        try:
            return json.loads((self._folder / SERVER_FILE).read_text())["url"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # the next server writes it again
            raise InvalidInput(f"endpoint {self._folder}: nothing serves it; start `banditloop serve`") from None

    def resources(self, version: str) -> dict[str, CloudResource]:
        return {}

    def report_vitals(self, vitals: dict[str, Vitals]) -> None:
        pass  # the serving process is asked

    def register_server(self, url: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / SERVER_FILE, json.dumps({"url": url, "pid": os.getpid()}))
