"""What the decisions of a log could choose from, what they chose, and with which probabilities."""

from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.logs import values
from banditloop.rl_core.logs.batches import Cells, RawBatch
from banditloop.rl_core.logs.columns import Columns
from banditloop.rl_core.settings.task import MAX_CANDIDATES, MAX_ID_LENGTH, Task

LoggingPolicy = Literal["uniform", "unknown"]
TOLERANCE = 1e-3  # of logged probabilities, which may be rounded: their sums, and propensities relative to them
IN_0_1 = "give a probability from 0 to 1"


class Choices(NamedTuple):
    """The choices of B decisions. Their candidates stand in one array, row by row."""

    actions: pa.Array  # ids [B]
    lengths: np.ndarray  # number of candidates [B]
    ids: pa.Array  # of all candidates
    chosen: np.ndarray  # place of each action among all candidates [B]
    listed: bool  # whether decisions list their candidates; if not, these are all of a task's numbered actions

    @property
    def row_of(self) -> np.ndarray:
        """The row of each candidate."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def lists(self, items: pa.Array) -> pa.ListArray:
        """The candidates' items as one list for each decision."""
        return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], self.lengths.cumsum()]).astype(np.int32)), items)


def read_choices(batch: RawBatch, columns: Columns, task: Task) -> Choices:
    """The choices of a batch.

    Raises:
        InvalidInput: an action is missing or no candidate, or the candidates are not known; names the row.
    """
    if "action" not in columns.fields:
        names = ", ".join(batch.table.column_names[:20])
        raise InvalidInput(f"{batch.path}: no column has the action: map it, action=COLUMN. The log has: {names}")
    cells = batch.cells(columns.fields["action"])
    actions = values.texts(cells, MAX_ID_LENGTH)
    cells.refuse(actions.is_null().to_numpy(zero_copy_only=False), "give the id of the chosen action")
    candidates = batch.find(columns.fields.get("candidates"))
    lengths, ids = _listed(candidates) if candidates else _all(task, len(actions))
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    is_chosen = pc.equal(ids, actions.take(pa.array(row_of))).to_numpy(zero_copy_only=False)
    occurrences = np.bincount(row_of[is_chosen], minlength=len(lengths))
    hint = "is none of the candidates" if candidates else f"is none of the actions {_shown(task)}"
    cells.refuse(occurrences == 0, hint)
    cells.refuse(occurrences > 1, "occurs twice among the candidates")
    return Choices(actions, lengths, ids, np.flatnonzero(is_chosen), candidates is not None or not task.numbered)


def read_probabilities(
    batch: RawBatch, columns: Columns, choices: Choices, logging_policy: LoggingPolicy | None
) -> np.ndarray:
    """The logged probabilities of all candidates, row by row. They sum to 1.

    Where only the propensity is known, the other candidates share the rest equally. Where the log or a row lacks it, it
    is 1 / candidates for a uniform policy, and 1 for an unknown one, whose rows say nothing about other policies.

    Raises:
        InvalidInput: a probability is missing or not in [0, 1], or they contradict each other; names the row.
    """
    propensity, given = _propensity(batch, columns, logging_policy), _given(batch, columns, choices)
    if given is not None:
        return _whole(batch, choices, given, propensity)
    if propensity is None and logging_policy is None:
        raise InvalidInput(
            f"{batch.path}: no column has the propensity: --map propensity=COLUMN, or tell by --logging-policy whether "
            "the actions were chosen uniformly or in an unknown way"
        )
    counts = choices.lengths
    assumed = 1 / counts if logging_policy == "uniform" else np.ones(len(counts))
    propensity = assumed if propensity is None else np.where(np.isnan(propensity), assumed, propensity)
    stated = Cells("propensity", pa.array(propensity), batch)
    stated.refuse((counts == 1) & (propensity < 1 - TOLERANCE), "must be 1 for the only candidate")
    rest = np.divide(1 - propensity, counts - 1, out=np.zeros(len(counts)), where=counts > 1)
    probabilities = rest[choices.row_of]
    probabilities[choices.chosen] = np.where(counts == 1, 1.0, propensity)
    return probabilities


def _whole(batch: RawBatch, choices: Choices, given: np.ndarray, propensity: np.ndarray | None) -> np.ndarray:
    """The given probabilities of all candidates, scaled to a sum of 1; they must agree with the propensities."""
    sums = np.bincount(choices.row_of, given, minlength=len(choices.lengths))
    total = Cells("sum of the probabilities", pa.array(sums.round(6)), batch)
    total.refuse(np.abs(sums - 1) > TOLERANCE, "must be 1")
    scaled = given / sums[choices.row_of]
    of_action = Cells("probability of the action", pa.array(scaled[choices.chosen].round(6)), batch)
    of_action.refuse(scaled[choices.chosen] <= 0, "must be above 0")
    if propensity is not None:
        stated = Cells("propensity", pa.array(propensity), batch)
        differs = np.abs(scaled[choices.chosen] - propensity) > TOLERANCE * propensity  # not where it is missing
        stated.refuse(differs, "differs from the probability of the action")
    return scaled


def _propensity(batch: RawBatch, columns: Columns, logging_policy: LoggingPolicy | None) -> np.ndarray | None:
    """The logged propensities [B]; NaN where one is missing, if the logging policy is given. None: there are none."""
    cells, hint = batch.find(columns.fields.get("propensity")), "give a probability above 0 and at most 1"
    if cells is None:
        return None
    propensities = values.numbers(cells, 0, 1, hint)
    cells.refuse(propensities == 0, hint)
    if logging_policy is None:
        cells.refuse(np.isnan(propensities), f"{hint}, or tell by --logging-policy how actions without one were chosen")
    return propensities


def _given(batch: RawBatch, columns: Columns, choices: Choices) -> np.ndarray | None:
    """The probabilities of all candidates that a batch has in lists, or in columns by action."""
    column = columns.fields.get("probabilities")
    if column is None:
        return None
    if "*" in column:
        return _by_action(batch, columns.by_action(batch.table.column_names), choices)
    cells, hint = batch.cells(column), "give a list with a probability for each candidate"
    if cells.values.null_count == len(cells.values):
        return None
    given = values.lists(cells, hint)
    lengths = np.array([len(items or ()) for items in given])
    cells.refuse(lengths != choices.lengths, hint)
    return _without_gaps(values.flat(cells, given))


def _by_action(batch: RawBatch, by_action: dict[str, str], choices: Choices) -> np.ndarray:
    """The probabilities of candidates, each in the column of its action. The cells of other actions are not read."""
    places = pc.index_in(choices.ids, pa.array(list(by_action), pa.string())).fill_null(-1).to_numpy(False)
    if (places < 0).any():
        missing = choices.ids[int(np.argmax(places < 0))]
        raise InvalidInput(f"{batch.path}: no column has the probability of the action {missing}")
    matrix = np.full((len(choices.lengths), len(by_action)), np.nan)
    matrix[choices.row_of, places] = 0
    for column, probabilities in zip(by_action.values(), matrix.T, strict=True):
        cells, rows = batch.cells(column), np.flatnonzero(probabilities == 0)
        probabilities[rows] = _without_gaps(Cells(cells.name, cells.values.take(pa.array(rows)), batch, rows))
    return matrix[choices.row_of, places]


def _without_gaps(cells: Cells) -> np.ndarray:
    probabilities = values.numbers(cells, 0, 1, IN_0_1)
    cells.refuse(np.isnan(probabilities), IN_0_1)
    return probabilities


def _listed(cells: Cells) -> tuple[np.ndarray, pa.Array]:
    hint = f"give a list of 1 to {MAX_CANDIDATES:,} ids"
    given = values.lists(cells, hint)
    lengths = np.array([len(items or ()) for items in given])
    cells.refuse((lengths < 1) | (lengths > MAX_CANDIDATES), hint)
    items = values.flat(cells, given)
    ids = values.texts(items, MAX_ID_LENGTH)
    items.refuse(ids.is_null().to_numpy(zero_copy_only=False), hint)
    return lengths, ids


def _all(task: Task, rows: int) -> tuple[np.ndarray, pa.Array]:
    """All actions of the task for every row."""
    ids = task.action_ids
    if ids is None:
        raise InvalidInput("the task does not list its actions: map candidates=COLUMN, a list of ids in each row")
    if not task.numbered and len(ids) > MAX_CANDIDATES:
        raise InvalidInput(f"the task has more than {MAX_CANDIDATES:,} actions: map candidates=COLUMN")
    return np.full(rows, len(ids)), pa.array(ids).take(pa.array(np.tile(np.arange(len(ids)), rows)))


def _shown(task: Task) -> str:
    if task.numbered:
        return f"0 to {len(task.action_ids or ()) - 1}"
    ids = task.action_ids or ()
    return ", ".join(ids[:20]) + (", …" if len(ids) > 20 else "")
