"""Calls of Google's REST APIs that no installed client library covers."""

import os
from typing import Any

from google.api_core.exceptions import from_http_response
from google.auth.credentials import with_scopes_if_required
from google.auth.transport.requests import AuthorizedSession

from banditloop.rl_core.backends.google.clients import credentials
from banditloop.rl_core.settings.backend import GoogleBackend

EMULATOR = "GOOGLE_REST_EMULATOR_HOST"  # stands for every https://API.googleapis.com
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
SECONDS = 60.0  # of one call


def call(backend: GoogleBackend, method: str, api: str, path: str) -> dict[str, Any]:
    """The response of an API to a request without a body.

    Raises:
        GoogleAPICallError: the API refused it, or failed.
    """
    session = AuthorizedSession(with_scopes_if_required(credentials(backend.project), SCOPES))
    address = os.environ.get(EMULATOR) or f"https://{api}.googleapis.com"
    response = session.request(method, f"{address}/{path}", timeout=SECONDS)
    if not response.ok:
        raise from_http_response(response)
    content: dict[str, Any] = response.json()
    return content
