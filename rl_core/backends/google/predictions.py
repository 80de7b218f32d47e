"""Predict requests to the Vertex AI endpoint, as another Google Cloud project's service would send them."""

import json
from functools import cached_property
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.api_core.exceptions import FailedPrecondition, InvalidArgument
from google.cloud import aiplatform_v1 as vertex_ai

from banditloop.rl_core.backends.google.clients import dedicated_client, vertex_client
from banditloop.rl_core.client.requests import decisions, predict_request
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.decision import Decision
from banditloop.rl_core.settings.backend import GoogleBackend

SHARED_BYTES, DEDICATED_BYTES = 1_500_000, 10_000_000  # Vertex AI's limits on a request


class VertexPredictions:
    """Sends predict requests to an endpoint."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend

    @cached_property
    def _shared(self) -> vertex_ai.PredictionServiceClient:
        return vertex_client(self._backend, vertex_ai.PredictionServiceClient)

    def decisions(self, endpoint: vertex_ai.Endpoint, instances: list[Any]) -> list[Decision]:
        """The endpoint's decisions, one per instance.

        Raises:
            InvalidInput: the instances were refused, or are more than Vertex AI lets through.
        """
        content = json.dumps(predict_request(instances)).encode()
        dedicated = endpoint.dedicated_endpoint_enabled
        if len(content) > (limit := DEDICATED_BYTES if dedicated else SHARED_BYTES):
            raise InvalidInput(
                f"instances: are {len(content):,} bytes, and Vertex AI lets {limit:,} through; send fewer at once"
                + ("" if dedicated else ", or give a new endpoint backend.dedicated_endpoint = true")
            )
        client = dedicated_client(endpoint.dedicated_endpoint_dns) if dedicated else self._shared
        body = HttpBody(content_type="application/json", data=content)
        try:  # raw_predict, as predict would return all numbers as doubles
            response = client.raw_predict(endpoint=endpoint.name, http_body=body)
        except (InvalidArgument, FailedPrecondition) as error:
            raise InvalidInput(error.message) from None
        return decisions(json.loads(response.data))
