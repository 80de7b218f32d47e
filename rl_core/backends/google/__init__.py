"""The Google Cloud backend: BigQuery, Pub/Sub, Cloud Storage and Vertex AI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from banditloop.rl_core.backends.google.action_table import BigQueryTables, is_table_name
from banditloop.rl_core.backends.google.bus import PubSubBus
from banditloop.rl_core.backends.google.endpoint import VertexEndpoint
from banditloop.rl_core.backends.google.experiments import VertexExperiments
from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.google.runner import VertexRunner
from banditloop.rl_core.backends.google.scratch import scratch_folder
from banditloop.rl_core.backends.google.storage import fetch
from banditloop.rl_core.backends.google.tensorboard import VertexTensorBoard
from banditloop.rl_core.backends.google.warehouse import BigQueryWarehouse
from banditloop.rl_core.backends.retries import with_retries
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import ExperimentRun, Platform, Resource, Runner, Scalars
from banditloop.rl_core.settings.backend import GoogleBackend


@dataclass(frozen=True, kw_only=True)
class GooglePlatform(Platform):
    """The ports on Google Cloud."""

    config: Config
    tables: BigQueryTables

    def fetch(self, uri: str) -> Path:
        if not uri.startswith("gs://"):
            return Path(uri)
        return fetch(uri, self.scratch / "fetched" / sha256(uri.encode()).hexdigest()[:16])

    def read_table(self, name: str) -> pa.Table | None:
        return self.tables.read(name) if is_table_name(name) else super().read_table(name)

    def show_scalars(self, name: str, scalars: Mapping[str, Scalars], logs: Path | None = None) -> str:
        backend = self.config.backend
        assert isinstance(backend, GoogleBackend)
        if not backend.tensorboard:
            return ""
        return with_retries(VertexTensorBoard(backend), GOOGLE).show(name, scalars, logs)

    def record_runs(self, experiment: str, runs: Sequence[ExperimentRun]) -> str:
        backend = self.config.backend
        assert isinstance(backend, GoogleBackend)
        if backend.runner != "vertex":
            return ""
        return with_retries(VertexExperiments(backend), GOOGLE).record(experiment, runs)

    def resources(self, templates: dict[str, bytes], simulator: bool) -> list[Resource]:
        from banditloop.rl_core.backends.google.provisioning import resources

        return resources(self.config, templates, simulator)


def connect(config: Config) -> Platform:
    """The ports on Google Cloud, and a scratch folder. Connections are opened and resources created on first use."""
    backend = config.backend
    assert isinstance(backend, GoogleBackend)
    scratch = scratch_folder(backend)
    # A message waits for the next run of the logger; one of a killed logger is delivered again after its lease.
    max_wait = 2 * timedelta(minutes=backend.logger_minutes, seconds=config.bus.lease_seconds)
    return GooglePlatform(
        warehouse=with_retries(
            BigQueryWarehouse(
                backend, config.task, config.reward, config.episodes, config.gate.holdout_fraction, max_wait
            ),
            GOOGLE,
        ),
        bus=with_retries(PubSubBus(backend, config.bus.lease_seconds), GOOGLE),
        endpoint=with_retries(VertexEndpoint(config, backend, scratch / "policies"), GOOGLE),
        runner=_runner(backend, scratch),
        scratch=scratch,
        config=config,
        tables=BigQueryTables(backend),
    )


def _runner(backend: GoogleBackend, scratch: Path) -> Runner:
    if backend.runner == "local":
        from banditloop.rl_core.backends.local.runner import LocalRunner  # its packages are not in the extra `google`

        return LocalRunner(scratch / "runs")
    if backend.runner == "kfp":
        from banditloop.rl_core.backends.kubeflow.runner import KUBEFLOW, KubeflowRunner  # kfp takes a second to import

        return with_retries(KubeflowRunner(backend), KUBEFLOW)
    return with_retries(VertexRunner(backend), GOOGLE)
