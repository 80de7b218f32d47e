"""The local endpoint: a folder of policy versions and the release, served over HTTP by the predictor process."""

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import requests
from filelock import FileLock

from banditloop.rl_core.backends.local.files import write_atomically
from banditloop.rl_core.backends.retries import retry_while
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.manifest import Manifest, read_manifest
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import HEALTH_ROUTE, PREDICT_ROUTE, Vitals
from banditloop.rl_core.settings.secrets import token

OVERLOADED_STATUSES, REFUSED_STATUSES = (429, 503), (400, 401, 413, 422)
PREDICT_SECONDS = 60.0  # for which a prediction is retried


def _is_transient(error: BaseException) -> bool:
    """Whether the server may have been starting, stopping, overloaded, or killed during its answer."""
    return isinstance(error, requests.RequestException) and not isinstance(error, requests.HTTPError)


class LocalEndpoint:
    """See banditloop.rl_core.ports.Endpoint.

    The folder holds versions/<version>/, immutable policy directories; release.json, the current release;
    verdicts.jsonl, one verdict per line; and server.json, the URL of the serving process. Every change is atomic: one
    rename, or one line appended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._session = requests.Session()

    def add(self, folder: Path) -> str:
        version = SavedPolicy.load(folder).manifest.version
        versions = self._folder / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / "lock"):
            if not self.policy(version).exists():
                copy = versions / ".incoming"
                shutil.rmtree(copy, ignore_errors=True)  # left by a crash
                shutil.copytree(folder, copy).rename(self.policy(version))
        return version

    def list_endpoints(self) -> list[str]:
        return sorted(path.parent.name for path in self._folder.parent.glob("*/versions"))

    def versions(self) -> list[Manifest]:
        manifests = [read_manifest(path) for path in (self._folder / "versions").glob("[!.]*")]
        return sorted(manifests, key=lambda manifest: (manifest.window.until, manifest.generation))

    def release(self) -> Release | None:
        path = self._folder / "release.json"
        return Release.model_validate_json(path.read_text()) if path.exists() else None

    def set_release(self, expected: Release | None, new: Release, verdict: Verdict | None = None) -> bool:
        for version in new.traffic():
            if not self.policy(version).is_dir():
                raise InvalidInput(
                    f"version {version!r}: is not one of: {', '.join(m.version for m in self.versions())}"
                )
        with FileLock(self._folder / "lock"):
            if self.release() != expected:
                return False
            if verdict:
                self._append(verdict)  # first: after a crash, a verdict without its release is better than the reverse
            write_atomically(self._folder / "release.json", new.model_dump_json())
        return True

    def add_verdict(self, verdict: Verdict) -> None:
        with FileLock(self._folder / "lock"):
            self._append(verdict)

    def verdicts(self) -> list[Verdict]:
        path = self._folder / "verdicts.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [Verdict.model_validate_json(line) for line in lines if line]

    def _append(self, verdict: Verdict) -> None:
        """Append a line, after removing an incomplete one left by a crash."""
        with (self._folder / "verdicts.jsonl").open("ab+") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(verdict.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def policy(self, version: str) -> Path:
        return self._folder / "versions" / version

    def serving_versions(self) -> list[str]:
        return list(self.vitals())

    def vitals(self) -> dict[str, Vitals]:
        try:
            versions = requests.get(f"{self.url()}{HEALTH_ROUTE}", timeout=5).json().get("versions", {})
        except (InvalidInput, requests.RequestException):
            return {}
        return {version: Vitals(*values) for version, values in versions.items()}

    def predict(self, instances: list[Any]) -> list[dict[str, Any]]:
        return self._post({"instances": instances, "parameters": {"request_id": uuid.uuid4().hex}})

    @retry_while(_is_transient, PREDICT_SECONDS, max_pause=2.0)
    def _post(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        secret = token()
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        response = self._session.post(f"{self.url()}{PREDICT_ROUTE}", json=request, headers=headers, timeout=60)
        if response.status_code in REFUSED_STATUSES:
            raise InvalidInput(response.json()["error"])
        if response.status_code in OVERLOADED_STATUSES:
            raise requests.ConnectionError(f"{self.url()}: {response.json()['error']}")
        response.raise_for_status()
        return response.json()["predictions"]

    def url(self) -> str:
        """URL of the serving process."""
        try:
            return json.loads((self._folder / "server.json").read_text())["url"]
        except FileNotFoundError:
            raise InvalidInput(f"endpoint {self._folder}: nothing serves it; start `banditloop serve`") from None

    def register_server(self, url: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / "server.json", json.dumps({"url": url, "pid": os.getpid()}))
