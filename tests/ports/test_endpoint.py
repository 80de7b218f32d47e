"""Contract of the endpoint on every backend: versions, the release, its verdicts, predictions."""

import contextlib

from banditloop.rl_core.backends.local.endpoint import LocalEndpoint
from banditloop.rl_core.testing.backends import EndpointContract
from tests.ports.conftest import EveryBackend
from tests.support.processes import process


class TestEndpoint(EveryBackend, EndpointContract):
    def server(self, config):
        """Run the predictor on the local backend; Vertex AI starts its own."""
        local = config.backend.name == "local"
        return process(config, "-m", "banditloop.functions.predictor") if local else contextlib.nullcontext()

    def has_vitals(self, platform):
        """Vertex AI gives no access to the metrics of its containers."""
        return isinstance(platform.endpoint, LocalEndpoint)

    def has_resources(self, platform):
        """Vertex AI has a registry of models, and endpoints."""
        return not isinstance(platform.endpoint, LocalEndpoint)
