"""The Google Cloud backend: BigQuery, Pub/Sub, Cloud Storage and Vertex AI."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from banditloop.rl_core.backends.google.remote_runner import remote_runner
from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.google.scratch import scratch_folder
from banditloop.rl_core.backends.retries import call_with_retries, with_retries
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Bus, Endpoint, ExperimentRun, Platform, Resource, Runner, Scalars, Warehouse
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.task import BIGQUERY_TABLE

if TYPE_CHECKING:
    from banditloop.rl_core.backends.google.action_table import BigQueryTables


class GooglePlatform(Platform):
    """The ports on Google Cloud, whose client libraries take a second to import. Resources are created on first use."""

    def __init__(self, config: Config, backend: GoogleBackend) -> None:
        super().__init__(scratch_folder(backend))
        self._config, self._backend = config, backend

    @cached_property
    def warehouse(self) -> Warehouse:
        from banditloop.rl_core.backends.google.warehouse import BigQueryWarehouse

        config, backend = self._config, self._backend
        # An event waits for the logger's next run and, if that logger is killed, until its lease ends.
        max_wait = 2 * timedelta(minutes=backend.logger_minutes, seconds=config.bus.lease_seconds)
        warehouse = BigQueryWarehouse(
            backend, config.task, config.reward, config.episodes, config.gate.holdout_fraction, max_wait
        )
        return with_retries(warehouse, GOOGLE)

    @cached_property
    def bus(self) -> Bus:
        from banditloop.rl_core.backends.google.bus import PubSubBus

        return with_retries(PubSubBus(self._backend, self._config.bus.lease_seconds), GOOGLE)

    @cached_property
    def endpoint(self) -> Endpoint:
        from banditloop.rl_core.backends.google.endpoint import VertexEndpoint

        return with_retries(VertexEndpoint(self._config, self._backend, self.scratch / "policies"), GOOGLE)

    @cached_property
    def runner(self) -> Runner:
        if self._backend.runner == "local":
            from banditloop.rl_core.backends.local.runner import LocalRunner

            return LocalRunner(self.scratch / "runs")
        return remote_runner(self._backend)

    def fetch(self, uri: str) -> Path:
        if not uri.startswith("gs://"):
            return Path(uri)
        from banditloop.rl_core.backends.google.storage import fetch

        return call_with_retries(GOOGLE, fetch, uri, self.scratch / "fetched" / sha256(uri.encode()).hexdigest()[:16])

    def read_table(self, name: str) -> pa.Table | None:
        return self._tables.read(name) if re.fullmatch(BIGQUERY_TABLE, name) else super().read_table(name)

    @cached_property
    def _tables(self) -> "BigQueryTables":
        from banditloop.rl_core.backends.google.action_table import BigQueryTables

        return BigQueryTables(self._backend)

    def show_scalars(self, name: str, scalars: Mapping[str, Scalars], logs: Path | None = None) -> str:
        if not self._backend.tensorboard:
            return ""
        from banditloop.rl_core.backends.google.tensorboard import VertexTensorBoard

        return with_retries(VertexTensorBoard(self._backend), GOOGLE).show(name, scalars, logs)

    def record_runs(self, experiment: str, runs: Sequence[ExperimentRun]) -> str:
        if self._backend.runner != "vertex":
            return ""
        from banditloop.rl_core.backends.google.experiments import VertexExperiments

        return with_retries(VertexExperiments(self._backend), GOOGLE).record(experiment, runs)

    def resources(self, templates: dict[str, bytes], simulator: bool) -> list[Resource]:
        from banditloop.rl_core.backends.google.provisioning import resources

        return resources(self._config, templates, simulator)


def connect(config: Config) -> Platform:
    """The ports on Google Cloud, and a scratch folder. Connections are opened and resources created on first use."""
    assert isinstance(config.backend, GoogleBackend)
    return GooglePlatform(config, config.backend)
