"""Google's own clients, pointed where the environment says: at the cloud, or at emulators.

The emulators' variables are those that Google's libraries read; the Storage Read API, Vertex AI and what a project is
administered with have none, so here they have one.
"""

import os
from typing import Any

from google.auth import default
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from google.cloud.bigquery_storage_v1 import BigQueryReadClient

from rl_core.backend import GoogleBackend
from rl_core.errors import InvalidInput

LABEL = "banditloop"  # whose value is the endpoint's name
READ_API, VERTEX = "BIGQUERY_STORAGE_EMULATOR_HOST", "VERTEX_EMULATOR_HOST"
ADMINISTRATION = "GOOGLE_ADMINISTRATION_EMULATOR_HOST"
EMULATORS = ("BIGQUERY_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", VERTEX, ADMINISTRATION)


def credentials() -> Credentials:
    """Application Default Credentials; nobody's, where an emulator is spoken to."""
    if any(name in os.environ for name in EMULATORS):
        return AnonymousCredentials()
    try:
        return default()[0]
    except DefaultCredentialsError:
        raise InvalidInput(
            "no Google credentials: run `gcloud auth application-default login`, or set $GOOGLE_APPLICATION_CREDENTIALS"
        ) from None


def bucket(backend: GoogleBackend) -> storage.Bucket:
    """The loop's bucket. Everything of an endpoint is below its name."""
    return storage.Client(backend.project, credentials()).bucket(backend.bucket)


def reader() -> BigQueryReadClient:
    """A client of the Storage Read API. Not given one, BigQuery's own client reads rows as JSON, page by page."""
    return _client(BigQueryReadClient, READ_API, {})


def vertex(backend: GoogleBackend, client: type[Any]) -> Any:
    """A client of one of Vertex AI's services, in the loop's location."""
    return _client(client, VERTEX, {"api_endpoint": f"{backend.location}-aiplatform.googleapis.com"})


def administration(client: type[Any]) -> Any:
    """A client of Cloud Run, Cloud Scheduler, IAM, the Resource Manager or Service Usage."""
    return _client(client, ADMINISTRATION, {})


def _client(client: type[Any], emulator: str, options: dict[str, str]) -> Any:
    if address := os.environ.get(emulator):
        import grpc

        transport = client.get_transport_class("grpc")
        return client(transport=transport(channel=grpc.insecure_channel(address)))
    return client(credentials=credentials(), client_options=options)


def place(backend: GoogleBackend) -> str:
    """The name of the project's location, below which resources are."""
    return f"projects/{backend.project}/locations/{backend.location}"
