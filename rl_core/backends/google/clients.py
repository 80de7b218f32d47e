"""Google's client libraries, connected to the cloud or to the emulators that the environment names.

Google's libraries read their own emulator variables. The Storage Read API, Vertex AI and the administration APIs have
no such variable, so this module defines one for each.
"""

import functools
import os
import re
from typing import TYPE_CHECKING, Any

from google.auth import default, external_account_authorized_user
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.oauth2 import credentials as authorized_user

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.backend import GoogleBackend

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import PredictionServiceClient

LABEL = "banditloop"  # label key; its value is the endpoint's name
READ_API, VERTEX_API = "BIGQUERY_STORAGE_EMULATOR_HOST", "VERTEX_EMULATOR_HOST"
ADMIN_API = "GOOGLE_ADMINISTRATION_EMULATOR_HOST"
USERS = (authorized_user.Credentials, external_account_authorized_user.Credentials)
EMULATORS = ("BIGQUERY_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", VERTEX_API, ADMIN_API)


def credentials(quota_project: str = "") -> Credentials:
    """Application Default Credentials, or anonymous ones where the environment names an emulator.

    quota_project: project whose quota a user's calls count against, as some APIs require one. A service account's
        calls count against its own project: naming another one takes a permission that it does not need otherwise.
    """
    if any(name in os.environ for name in EMULATORS):
        return AnonymousCredentials()
    try:
        default_credentials = default()[0]
    except DefaultCredentialsError:
        raise InvalidInput(
            "no Google credentials: run `gcloud auth application-default login`, or set $GOOGLE_APPLICATION_CREDENTIALS"
        ) from None
    if quota_project and isinstance(default_credentials, USERS):
        return default_credentials.with_quota_project(quota_project)
    return default_credentials


def bucket(backend: GoogleBackend) -> storage.Bucket:
    """The loop's bucket. All objects of an endpoint have its name as their first prefix."""
    return storage.Client(backend.project, credentials()).bucket(backend.bucket)


def reader() -> BigQueryReadClient:
    """A client of the Storage Read API. Without it, BigQuery's own client reads rows as JSON, page by page."""
    return _client(BigQueryReadClient, READ_API)


def vertex_client(backend: GoogleBackend, client: type[Any]) -> Any:
    """A client of one of Vertex AI's services, in the loop's location."""
    return _client(client, VERTEX_API, f"{backend.location}-aiplatform.googleapis.com", backend.project)


@functools.cache
def dedicated_client(address: str) -> "PredictionServiceClient":
    """A prediction client of a dedicated endpoint, which has its own address."""
    from google.cloud.aiplatform_v1 import PredictionServiceClient  # takes half a second to import

    return _client(PredictionServiceClient, VERTEX_API, address)


def admin_client(backend: GoogleBackend, client: type[Any]) -> Any:
    """A client of Cloud Run, Cloud Scheduler, IAM, the Resource Manager or Service Usage."""
    return _client(client, ADMIN_API, None, backend.project)


def _client(client: type[Any], emulator: str, endpoint: str | None = None, quota_project: str = "") -> Any:
    if address := os.environ.get(emulator):
        import grpc

        transport = client.get_transport_class("grpc")
        return client(transport=transport(channel=grpc.insecure_channel(address)))
    return client(credentials=credentials(quota_project), client_options={"api_endpoint": endpoint})


def location_name(backend: GoogleBackend) -> str:
    """Resource name of the project's location, the parent of regional resources."""
    return f"projects/{backend.project}/locations/{backend.location}"


def resource_id(name: str) -> str:
    """The id of a resource, from a name: at most 128 lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:128]


def name_prefix(backend: GoogleBackend) -> str:
    """Prefix of the names of pipeline jobs and schedules, whose namespace all loops of a project share."""
    return f"{backend.endpoint}-"
