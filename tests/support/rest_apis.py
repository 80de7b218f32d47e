"""The REST APIs of the stand-in project: service agents made on request, and Artifact Registry."""

import json
import re
from typing import Any
from urllib.parse import unquote

from tests.support.fresh_project import FreshProject
from tests.support.proxy import Request, Response
from tests.support.stand_ins import Records


class RestApis(FreshProject):
    """The images that are missing, and the policies of repositories, are to be set by a test."""

    def __init__(self) -> None:
        super().__init__()
        self.missing_images: set[str] = set()  # by PROJECT/REPOSITORY/PACKAGE
        self.repository_policies: Records[dict[str, Any]] = Records()  # by PROJECT/REPOSITORY
        self.changes: list[str] = []  # names of the calls that were not reads

    def handle_rest(self, request: Request, forward: object) -> Response:
        if match := re.fullmatch(r"/v1beta1/projects/[\w-]+/services/(\w+).googleapis.com:generate\w+", request.path):
            return self._generate_identity(request, match[1])
        image = re.fullmatch(r"/v1/projects/([\w-]+)/locations/[\w-]+/repositories/([\w-]+)(.*)", request.path)
        assert image, request.path
        if refusal := self.refusal("artifactregistry"):
            return _error(403, "PERMISSION_DENIED", refusal)
        repository = f"{image[1]}/{image[2]}"
        if image[3] == ":getIamPolicy":
            return _json(200, self.repository_policies.get(repository, {"etag": "ACAB"}))
        package = re.fullmatch(r"/packages/([^/]+)/(versions/sha256:[0-9a-f]{64}|tags/[\w.-]+)", image[3])
        assert package, request.path
        if f"{repository}/{unquote(package[1])}" in self.missing_images:
            return _error(404, "NOT_FOUND", "Requested entity was not found.")
        return _json(200, {"name": request.path.removeprefix("/v1/")})

    def _generate_identity(self, request: Request, service: str) -> Response:
        assert (request.method, request.body) == ("POST", b"")
        self.changes.append(f"generateServiceIdentity {service}")
        if refusal := self.refusal(service):
            return _error(403, "PERMISSION_DENIED", refusal)
        self.make_agent(service)
        return _json(200, {"name": f"operations/finsvc.{service}", "done": False})


def _json(status: int, content: dict[str, Any]) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(content).encode())


def _error(status: int, name: str, message: str) -> Response:
    return _json(status, {"error": {"code": status, "message": message, "status": name}})
