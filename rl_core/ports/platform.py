"""A platform: its four ports connected, and what it must be provisioned with."""

import abc
import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

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
    """One of several runs that are compared: its parameters, metrics and outcome."""

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


class Platform(abc.ABC):
    """The four ports of a backend, and a scratch folder on this machine that survives restarts.

    Backends make a port a cached property, which imports and connects it at its first use, so that a process loads
    only the ports that it uses.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.table_file = TableFile()

    @property
    @abc.abstractmethod
    def warehouse(self) -> Warehouse:
        """The log of decisions and rewards."""

    @property
    @abc.abstractmethod
    def bus(self) -> Bus:
        """The queues of events on their way to the log."""

    @property
    @abc.abstractmethod
    def endpoint(self) -> Endpoint:
        """The endpoint that serves the loop's policies."""

    @property
    @abc.abstractmethod
    def runner(self) -> Runner:
        """The runner of its pipelines."""

    def with_ports(self, **ports: Any) -> Self:
        """A copy of this platform with some ports replaced, which are given by name."""
        other = copy.copy(self)
        vars(other).update(ports)  # where a cached property looks first
        return other

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
