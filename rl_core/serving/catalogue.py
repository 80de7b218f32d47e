"""The catalogue: the actions that may be chosen now, where requests do not list their own."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput, nearest
from banditloop.rl_core.events.schema import MAX_PROBABILITIES
from banditloop.rl_core.events.table_file import action_ids
from banditloop.rl_core.settings.task import MAX_CANDIDATES, MAX_ID_LENGTH, ActionTable, Task

REFRESH_SECONDS = 2.0
log = logging.getLogger("banditloop.predictor")


class Actions(NamedTuple):
    """The actions of a catalogue at one moment, with their positions; ids are None where requests must list them."""

    ids: tuple[str, ...] | None
    positions: dict[str, int]
    numbered: bool
    closed: bool  # whether the config lists them, so that an unknown id is a mistake

    def candidates(self, number: int, listed: Sequence[str] | None, exclude: Sequence[str]) -> tuple[str, ...]:
        """The candidates of the decision `number` of a request: those listed, else all, without the excluded ones.

        Raises:
            InvalidInput: one is not in the catalogue, none are left, or there are too many to log.
        """
        if self.ids is None and listed is None:
            raise InvalidInput(f"context {number}: actions: are missing; the task has no list of them")
        for action in [*(listed or ()), *(exclude if self.closed else ())] if self.ids else ():
            if action not in self.positions:
                raise InvalidInput(
                    f"context {number}: action {action!r}: is unknown; {nearest(action, self.positions)}"
                )
        excluded = set(exclude)
        ids = tuple(action for action in (self.ids or () if listed is None else listed) if action not in excluded)
        if not ids:
            raise InvalidInput(f"context {number}: exclude: leaves no action to choose")
        if len(ids) > MAX_CANDIDATES:
            raise _too_many(number, len(ids), MAX_CANDIDATES)
        return ids

    def check_size(self, number: int) -> None:
        """InvalidInput: all actions are too many for one decision, whose candidates and probabilities are logged."""
        limit = MAX_PROBABILITIES if self.numbered else MAX_CANDIDATES
        if len(self.positions) > limit:
            raise _too_many(number, len(self.positions), limit)

    def position(self, action: str) -> int:
        """The position of an action in the catalogue."""
        return self.positions[action]


class Catalogue:
    """The actions that may be chosen now; a table of them is read again when it changes.

    read_table: the content of a table of actions by its name, or None where it has not changed since the last call.
    """

    def __init__(self, task: Task, read_table: Callable[[str], pa.Table | None] | None = None) -> None:
        self._table = task.actions if isinstance(task.actions, ActionTable) else None
        self._read_table, self._next_refresh = read_table, 0.0
        self.actions = _actions(task.action_ids, task.numbered, task.action_ids is not None)
        if self._table:
            self._load(self._table)

    def refresh(self) -> None:
        """Read the table of actions again, if there is one and it has changed. Errors leave the actions as they are."""
        if self._table is None or time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + REFRESH_SECONDS
        try:
            self._load(self._table)
        except (InvalidInput, OSError) as error:
            log.error("%s; still serving the actions of before", error)

    def _load(self, table: ActionTable) -> None:
        assert self._read_table
        content = self._read_table(table.table)
        if content is None:
            return
        where = f"task.actions.table = {table.table!r}"
        ids = tuple(map(str, action_ids(content, table).drop_null().to_pylist()))
        if len(set(ids)) < len(ids) or not ids:
            raise InvalidInput(f"{where}: column {table.id} is empty or has an id twice")
        if too_long := next((action for action in ids if len(action) > MAX_ID_LENGTH), None):
            raise InvalidInput(f"{where}: the id {too_long:.20}… has more than {MAX_ID_LENGTH} characters")
        self.actions = _actions(ids, numbered=False, closed=False)  # replaced at once: another thread reads it


def _actions(ids: tuple[str, ...] | None, numbered: bool, closed: bool) -> Actions:
    return Actions(ids, {action: position for position, action in enumerate(ids or ())}, numbered, closed)


def _too_many(number: int, candidates: int, limit: int) -> InvalidInput:
    return InvalidInput(
        f"context {number}: {candidates:,} candidates: at most {limit:,} are allowed; "
        "send a shortlist of candidates in `actions`"
    )
