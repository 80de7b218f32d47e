"""The Google Cloud backend: BigQuery, Pub/Sub, Cloud Storage and Vertex AI."""

import tempfile
from pathlib import Path

from rl_core.backend import GoogleBackend
from rl_core.backends import Platform, Runner
from rl_core.backends.google.bus import PubSubBus
from rl_core.backends.google.endpoint import VertexEndpoint
from rl_core.backends.google.patience import patient
from rl_core.backends.google.runner import VertexRunner
from rl_core.backends.google.warehouse import BigQueryWarehouse
from rl_core.config import Config


def connect_google(config: Config) -> Platform:
    """The ports on Google Cloud. Nothing is opened or created before it is used."""
    backend = config.backend
    assert isinstance(backend, GoogleBackend)
    scratch = Path(tempfile.gettempdir()) / f"banditloop-{backend.endpoint}"
    return Platform(
        warehouse=patient(BigQueryWarehouse(backend, config.reward, config.gate.held_out)),
        bus=patient(PubSubBus(backend)),
        endpoint=patient(VertexEndpoint(config, backend, scratch / "policies")),
        runner=_runner(backend, scratch),
        scratch=scratch,
    )


def _runner(backend: GoogleBackend, scratch: Path) -> Runner:
    if backend.runner == "local":
        from rl_core.backends.local.runner import LocalRunner  # which needs what the extra `google` has not

        return LocalRunner(scratch / "runs")
    if backend.runner == "kfp":
        from rl_core.backends.kubeflow.runner import KUBEFLOW, KubeflowRunner  # kfp takes a second to import

        return patient(KubeflowRunner(backend), KUBEFLOW)
    return patient(VertexRunner(backend))
