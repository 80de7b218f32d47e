"""The candidates of decisions: the actions that may be chosen, by their ids."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput

MAX_MASK = 10_000_000  # decisions × candidates: deciding takes some numbers for each, 8 bytes long


class Candidates(NamedTuple):
    """What B decisions choose from: ids [K], and which of them each may choose, bool [B, K]; None: all of them."""

    ids: tuple[str, ...]
    eligible: np.ndarray | None = None

    @classmethod
    def of_lists(cls, lists: Sequence[Sequence[str]], order: Callable[[str], Any] | None = None) -> Self:
        """The candidates of decisions that each list their own.

        Their ids are sorted, by the key `order` if given: the order of a decision's candidates does not depend on other
        decisions.

        Raises:
            InvalidInput: the decisions and their candidates are too many together.
        """
        ids = tuple(sorted(set(chain.from_iterable(lists)), key=order))
        if all(len(candidates) == len(ids) for candidates in lists):
            return cls(ids)
        check_size(len(lists), len(ids))
        index = {action: position for position, action in enumerate(ids)}
        eligible = np.zeros((len(lists), len(ids)), bool)
        for row, candidates in enumerate(lists):
            eligible[row, [index[action] for action in candidates]] = True
        return cls(ids, eligible)

    def mask(self, rows: int) -> np.ndarray:
        """Which candidates each of the rows may choose, bool [rows, K]."""
        return np.ones((rows, len(self.ids)), bool) if self.eligible is None else self.eligible

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """The candidates of some of the decisions."""
        return self if self.eligible is None else self._replace(eligible=self.eligible[rows])


def check_size(decisions: int, ids: int) -> None:
    """InvalidInput: so many decisions, with so many different candidates altogether, would take too much memory."""
    if decisions * ids > MAX_MASK:
        raise InvalidInput(
            f"request: {decisions:,} contexts with {ids:,} different candidates altogether: too many; "
            "send fewer instances per request"
        )


def logged_ids(table: pa.Table) -> list[str]:
    """The ids of all candidates of a table of decisions, sorted; first the numbers of rows that list no candidates."""
    listed = pc.list_flatten(table["candidates"]).unique().to_pylist()
    lengths = _lengths(table, "probabilities")[_lengths(table, "candidates") == 0]
    numbers = [str(number) for number in range(int(lengths.max(initial=0)))]
    return numbers + sorted(set(listed) - set(numbers))


def logged_candidates(table: pa.Table, ids: Sequence[str]) -> Candidates:
    """The candidates of a table of decisions among `ids`, those of `logged_ids` for a table that includes it."""
    eligible = np.zeros((table.num_rows, len(ids)), bool)
    eligible[_cells(table, ids)] = True
    return Candidates(tuple(ids), None if eligible.all() else eligible)


def logged_probabilities(table: pa.Table, ids: Sequence[str]) -> np.ndarray:
    """The logged probabilities of all candidates among `ids` [B, K]; 0 where one could not be chosen."""
    logged, shape = pc.list_flatten(table["probabilities"]).to_numpy(), (table.num_rows, len(ids))
    is_full = len(logged) == table.num_rows * len(ids) and not _lengths(table, "candidates").any()
    if is_full and list(ids) == [str(number) for number in range(len(ids))]:  # the common case of numbered actions
        return logged.reshape(shape)
    probabilities = np.zeros(shape)
    probabilities[_cells(table, ids)] = logged
    return probabilities


def action_positions(table: pa.Table, ids: Sequence[str]) -> np.ndarray:
    """The position of each row's action among `ids` [B]; -1 where it is none of them."""
    return _positions(table["action"], ids)


def _cells(table: pa.Table, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Row and position of every candidate, in the order of the flattened probabilities."""
    listed, lengths = _lengths(table, "candidates"), _lengths(table, "probabilities")
    if (wrong := (listed > 0) & (listed != lengths)).any():
        row = int(np.argmax(wrong))
        raise InvalidInput(
            f"interaction {table['event_id'][row]}: {listed[row]} candidates with {lengths[row]} probabilities"
        )
    rows = np.repeat(np.arange(table.num_rows), lengths)
    positions = np.arange(len(rows)) - np.repeat(lengths.cumsum() - lengths, lengths)  # in their row
    is_listed = listed[rows] > 0
    numbers = pa.array(map(str, range(int(lengths[listed == 0].max(initial=0)))), pa.string())
    positions[~is_listed] = _positions(numbers, ids)[positions[~is_listed]]  # rows without a list choose from 0, 1, …
    positions[is_listed] = _positions(pc.list_flatten(table["candidates"]), ids)
    return rows, positions


def _positions(actions: pa.ChunkedArray | pa.Array, ids: Sequence[str]) -> np.ndarray:
    return pc.index_in(actions, pa.array(ids, pa.string())).fill_null(-1).to_numpy()


def _lengths(table: pa.Table, column: str) -> np.ndarray:
    return pc.list_value_length(table[column]).to_numpy()
