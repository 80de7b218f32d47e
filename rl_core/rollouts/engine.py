"""Where episodes are played: in this process, or on other workers. The episodes are the same."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from banditloop.rl_core.settings.rollouts import RolloutsSection

Result = TypeVar("Result")


class Engine(Protocol):
    """Plays episodes, all at once or divided over workers."""

    def play(self, part: Callable[[slice], Result], episodes: int) -> list[Result]:
        """The results of `part`, in order, for slices of episode numbers that together cover 0 to `episodes` once.

        `part` and its results may travel to other processes. It must depend on nothing but its slice: it is called
        again if a worker dies.
        """


class InProcess:
    """All episodes side by side in this process."""

    def play(self, part: Callable[[slice], Result], episodes: int) -> list[Result]:
        """See Engine: one slice."""
        return [part(slice(0, episodes))]


IN_PROCESS = InProcess()


@contextlib.contextmanager
def engine(section: RolloutsSection, folder: Path | None = None) -> Iterator[Engine]:
    """The engine of a config's section, for as long as the block runs.

    folder: where a Ray cluster that is started for it keeps its temporary files; None: in the system's.

    Raises:
        InvalidInput: Ray is not installed, or no cluster answers at the address.
    """
    if section.engine == "process":
        yield IN_PROCESS
        return
    from banditloop.rl_core.rollouts.ray_engine import ray_engine  # needs the extra `ray`

    with ray_engine(section, folder) as workers:
        yield workers
