"""Episodes in the rows of a log: which decision belongs to which, their steps, and how they end."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.schema import MAX_STEP
from banditloop.rl_core.logs import values
from banditloop.rl_core.logs.batches import RawBatch
from banditloop.rl_core.logs.columns import Columns
from banditloop.rl_core.settings.task import MAX_ID_LENGTH

LastStep = Literal["terminal", "truncated"]


class Steps:
    """Reads the episodes and steps of a log's rows, which are counted in their order where no column has the steps.

    numbers: all logged steps of each episode, sorted; if given, a step is read as its position among them.
    """

    def __init__(self, numbers: Mapping[str, np.ndarray] | None = None) -> None:
        self._counts: dict[str, int] = defaultdict(int)
        self._numbers = numbers

    def read(self, batch: RawBatch, columns: Columns) -> tuple[list[str | None], list[int | None]]:
        """The id of each row's episode and the row's step; None where it has none.

        Raises:
            InvalidInput: a step is no whole number; names the row.
        """
        ids: list[str | None] = values.texts(batch.cells(columns.fields["episode_id"]), MAX_ID_LENGTH).to_pylist()
        if "step" not in columns.fields:
            return ids, [None if id_ is None else self._next(id_) for id_ in ids]
        cells, hint = batch.cells(columns.fields["step"]), "give a whole number from 0 on"
        steps = values.numbers(cells, 0, MAX_STEP, hint)
        cells.refuse(np.isfinite(steps) & (steps % 1 != 0), hint)
        numbers = [None if np.isnan(step) else int(step) for step in steps.tolist()]
        return ids, numbers if self._numbers is None else list(map(self._place, ids, numbers))

    def _place(self, episode: str | None, step: int | None) -> int | None:
        if self._numbers is None or episode is None or step is None:
            return step
        return int(np.searchsorted(self._numbers[episode], step))

    def _next(self, episode: str) -> int:
        self._counts[episode] += 1
        return self._counts[episode] - 1


def last_steps(log: Iterable[tuple[RawBatch, Columns]]) -> dict[str, int]:
    """The last step of each episode of a log; empty if it has no episodes."""
    steps, last = Steps(), dict[str, int]()
    for batch, columns in log:
        if "episode_id" not in columns.fields:
            return {}
        for episode, step in zip(*steps.read(batch, columns), strict=True):
            if episode is not None and step is not None:
                last[episode] = max(step, last.get(episode, 0))
    return last


def sorted_steps(log: Iterable[tuple[RawBatch, Columns]]) -> dict[str, np.ndarray]:
    """The distinct steps of each episode of a log, sorted; empty if it has no episodes."""
    steps = Steps()
    by_episode: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
    for batch, columns in log:
        if "episode_id" not in columns.fields:
            return {}
        for episode, step in zip(*steps.read(batch, columns), strict=True):
            if episode is not None and step is not None:
                by_episode[episode].append(step)
    return {episode: np.unique(numbers) for episode, numbers in by_episode.items()}


class EpisodeReader:
    """Reads the fields of decisions about episodes.

    prefix: of the episodes' ids. last: the last step of each episode. how: what the last step is where no column says
    how the episode ended: truncated, since what follows is not known, or terminal if the log holds whole episodes.
    steps: reads the steps.
    """

    def __init__(self, prefix: str, last: Mapping[str, int], how: LastStep, steps: Steps) -> None:
        self._prefix, self._last, self._how, self._steps = prefix, last, how, steps

    def fields(self, batch: RawBatch, columns: Columns) -> dict[str, Any]:
        """The fields of a batch by name; empty if the log has no episodes."""
        if "episode_id" not in columns.fields:
            return {}
        ids, steps = self._steps.read(batch, columns)
        ends = {name: _flags(batch, columns, name) for name in ("terminal", "truncated")}
        is_last = [id_ is not None and step == self._last.get(id_) for id_, step in zip(ids, steps, strict=True)]
        ends[self._how] |= np.array(is_last, bool) & ~ends["terminal"] & ~ends["truncated"]
        prefixed_ids = [None if id_ is None else self._prefix + id_ for id_ in ids]
        flags = {name: pa.array(flag, mask=np.array([id_ is None for id_ in ids], bool)) for name, flag in ends.items()}
        return {"episode_id": pa.array(prefixed_ids, pa.string()), "step": pa.array(steps, pa.int32())} | flags


def _flags(batch: RawBatch, columns: Columns, name: str) -> np.ndarray:
    """A column of booleans [B]; missing ones are false."""
    cells = batch.find(columns.fields.get(name))
    if cells is None:
        return np.zeros(batch.table.num_rows, bool)
    return np.asarray(pc.fill_null(values.feature(cells, "boolean"), False).to_numpy(zero_copy_only=False), bool)
