"""The endpoint as a folder of policy versions and a traffic split, which the predictor's process serves over HTTP."""

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import requests
from filelock import FileLock
from tenacity import retry, retry_if_exception_type, retry_if_not_exception_type, stop_after_delay, wait_exponential

from rl_core.backends import HEALTH_ROUTE, PREDICT_ROUTE, Vitals
from rl_core.backends.guard import token
from rl_core.backends.local.files import write_whole
from rl_core.errors import InvalidInput
from rl_core.manifest import Manifest, read_manifest
from rl_core.policy import SavedPolicy
from rl_core.release import Release, Verdict

BUSY, REFUSED = (429, 503), (400, 401, 413, 422)
patiently = retry(  # the server may be starting, stopping or killed in the middle of its answer
    retry=retry_if_exception_type(requests.RequestException) & retry_if_not_exception_type(requests.HTTPError),
    wait=wait_exponential(multiplier=0.05, max=2),
    stop=stop_after_delay(60),
    reraise=True,
)


class LocalEndpoint:
    """See rl_core.backends.Endpoint.

    versions/<version>/ are policy directories that never change, release.json is the pointer that does, verdicts.jsonl
    tells why, and server.json where the serving process listens. Every change is one rename, or one line.
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
                shutil.rmtree(copy, ignore_errors=True)  # what a crash left
                shutil.copytree(folder, copy).rename(self.policy(version))
        return version

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self._folder.parent.glob("*/versions"))

    def versions(self) -> list[Manifest]:
        manifests = [read_manifest(path) for path in (self._folder / "versions").glob("[!.]*")]
        return sorted(manifests, key=lambda manifest: (manifest.window.until, manifest.generation))

    def release(self) -> Release | None:
        path = self._folder / "release.json"
        return Release.model_validate_json(path.read_text()) if path.exists() else None

    def move(self, before: Release | None, after: Release, verdict: Verdict | None = None) -> bool:
        for version in after.traffic():
            if not self.policy(version).is_dir():
                raise InvalidInput(
                    f"version {version!r}: is not one of: {', '.join(m.version for m in self.versions())}"
                )
        with FileLock(self._folder / "lock"):
            if self.release() != before:
                return False
            if verdict:
                self._keep(verdict)  # first: after a crash, better decided twice than moved without a word
            write_whole(self._folder / "release.json", after.model_dump_json())
        return True

    def record(self, verdict: Verdict) -> None:
        with FileLock(self._folder / "lock"):
            self._keep(verdict)

    def verdicts(self) -> list[Verdict]:
        path = self._folder / "verdicts.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [Verdict.model_validate_json(line) for line in lines if line]

    def _keep(self, verdict: Verdict) -> None:
        """Add a line, after cutting off one that a crash left without its end."""
        with (self._folder / "verdicts.jsonl").open("ab+") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(verdict.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def policy(self, version: str) -> Path:
        return self._folder / "versions" / version

    def serving(self) -> list[str]:
        return list(self.vitals())

    def vitals(self) -> dict[str, Vitals]:
        try:
            versions = requests.get(f"{self.url()}{HEALTH_ROUTE}", timeout=5).json().get("versions", {})
        except (InvalidInput, requests.RequestException):
            return {}
        return {version: Vitals(*figures) for version, figures in versions.items()}

    def predict(self, instances: list[Any]) -> list[dict[str, Any]]:
        return self._ask({"instances": instances, "parameters": {"request_id": uuid.uuid4().hex}})

    @patiently
    def _ask(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        known = token()
        headers = {"Authorization": f"Bearer {known}"} if known else {}
        response = self._session.post(f"{self.url()}{PREDICT_ROUTE}", json=request, headers=headers, timeout=60)
        if response.status_code in REFUSED:
            raise InvalidInput(response.json()["error"])
        if response.status_code in BUSY:
            raise requests.ConnectionError(f"{self.url()}: {response.json()['error']}")
        response.raise_for_status()
        return response.json()["predictions"]

    def url(self) -> str:
        """Where the serving process listens."""
        try:
            return json.loads((self._folder / "server.json").read_text())["url"]
        except FileNotFoundError:
            raise InvalidInput(f"endpoint {self._folder}: nothing serves it; start `banditloop serve`") from None

    def announce(self, url: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / "server.json", json.dumps({"url": url, "pid": os.getpid()}))
