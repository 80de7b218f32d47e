"""A platform: its four ports connected, and what it must be provisioned with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.table_file import TableFile
from banditloop.rl_core.ports.bus import Bus
from banditloop.rl_core.ports.endpoint import Endpoint
from banditloop.rl_core.ports.runner import Runner
from banditloop.rl_core.ports.warehouse import Warehouse

Scalars = Sequence[tuple[int, float]]  # step and value
TRACES = "plugins/profile"  # where TensorFlow's profiler writes, below a folder of TensorBoard's logs


class ExperimentRun(NamedTuple):
    """One of several runs that are compared: what was tried, and what came of it."""

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    state: Literal["COMPLETE", "FAILED"] = "COMPLETE"


ResourceState = Literal["present", "missing", "changed", "deferred", "obsolete", "absent"]


class Resource(Protocol):
    """A cloud resource that a loop needs; `str` describes it. Every method is idempotent."""

    def state(self) -> ResourceState:
        """Whether it is present and as configured; `deferred` if the loop itself creates it at run time.

        `obsolete` if it is present and the config no longer chooses it; `absent` if it is rightly not there.
        """

    def make(self) -> None:
        """Create it, update what differs, or remove it if it is obsolete."""

    def remove(self) -> bool:
        """Remove it. Returns False, and keeps it, if it does not belong to this loop."""


@dataclass(frozen=True)
class Platform:
    """The four connected ports of a backend, and a scratch folder on this machine that survives restarts."""

    warehouse: Warehouse
    bus: Bus
    endpoint: Endpoint
    runner: Runner
    scratch: Path
    table_file: TableFile = field(default_factory=TableFile, compare=False)

    def fetch(self, uri: str) -> Path:
        """Local directory with the content of a path or object-store URI, which must be immutable."""
        return Path(uri)

    def read_table(self, name: str) -> pa.Table | None:
        """The content of a table of actions; None if it has not changed since the last call.

        A Parquet, CSV or JSON lines file, by its path or object-store URI; backends may know other names.

        Raises:
            InvalidInput: it cannot be read.
        """
        return self.table_file.read(name)

    def show_scalars(self, name: str, scalars: Mapping[str, Scalars], logs: Path | None = None) -> str:
        """Show series of numbers, by their tags, as a run of the platform's TensorBoard; return its page. Idempotent.

        logs: folder of TensorBoard's logs, whose traces of the profiler are shown, too. Empty on a platform without a
        TensorBoard.
        """
        return ""

    def record_runs(self, experiment: str, runs: Sequence[ExperimentRun]) -> str:
        """Record runs, by their names, in the platform's tracking of experiments; return its page. Idempotent.

        Empty on a platform without one.
        """
        return ""

    def resources(self, templates: dict[str, bytes], simulator: bool) -> list[Resource]:
        """Cloud resources of the loop, in order of creation. `templates` are compiled pipelines by file name.

        Raises:
            InvalidInput: this backend has nothing to provision.
        """
        raise InvalidInput("backend: has nothing to provision on this machine; `banditloop cloud` is for 'google'")
