"""Consistency of decisions: action, propensity and probabilities must agree, and fit the task and the version.

Checked where decisions are logged, and again where they are read, since a log may hold older ones.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.settings.feature_kinds import Kinds, Vector
from banditloop.rl_core.settings.task import Task

TOLERANCE = 1e-6  # of the sum of probabilities, and of a propensity, relative to it


class _Finding(NamedTuple):
    """Which rows are wrong, bool [B], and the error: a text with {action}, {version} and {value}, from `values`."""

    rows: np.ndarray
    text: str
    values: np.ndarray | None = None


class _Choices(NamedTuple):
    """The candidates of B decisions in one array, and the position of each action among its row's candidates."""

    listed: np.ndarray  # number of listed candidates [B]; 0: all of a numbered task
    counts: np.ndarray  # number of probabilities [B]
    probabilities: np.ndarray  # of all candidates, row by row
    numbers: np.ndarray  # the action as a number [B]; -1 where it is none
    positions: np.ndarray  # of the action [B]; -1 where it is no candidate
    repeated: np.ndarray  # whether a candidate occurs twice [B]

    @classmethod
    def of(cls, decisions: pa.Table) -> Self:
        listed, counts = _lengths(decisions["candidates"]), _lengths(decisions["probabilities"])
        probabilities = pc.list_flatten(decisions["probabilities"]).to_numpy()
        numbers, rows = _numbers(decisions["action"]), np.arange(len(listed))
        positions = np.where((listed == 0) & (numbers < counts), numbers, -1)
        ids = pa.chunked_array([*pc.list_flatten(decisions["candidates"]).chunks, *decisions["action"].chunks])
        codes = pc.index_in(ids, ids.unique()).to_numpy()
        candidates, actions = codes[: listed.sum()], codes[listed.sum() :]
        row_of = np.repeat(rows, listed)
        [matches] = np.nonzero(candidates == actions[row_of])
        positions[row_of[matches]] = matches - _starts(listed)[row_of[matches]]
        distinct = np.unique(row_of * (len(codes) + 1) + candidates) // (len(codes) + 1)
        repeated = np.bincount(distinct.astype(int), minlength=len(rows)) < listed
        return cls(listed, counts, probabilities, numbers, positions, repeated)

    def of_actions(self) -> np.ndarray:
        """The probability of each action [B]; 0 where it is no candidate."""
        is_known = (self.positions >= 0) & (self.positions < self.counts)
        chosen = np.zeros(len(self.counts))
        chosen[is_known] = self.probabilities[(_starts(self.counts) + self.positions)[is_known]]
        return chosen

    def sums(self) -> np.ndarray:
        """The sum of each row's probabilities [B]."""
        rows = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.bincount(rows, self.probabilities, minlength=len(self.counts))


def contradictions(
    decisions: pa.Table, task: Task, shapes: Mapping[str, int] | None = None, stored: bool = False
) -> dict[int, str]:
    """The errors of the decisions that contradict themselves, their task or their version, by row.

    shapes: the number of actions of known versions, which may differ from the task's where these are numbered.
    stored: whether they are from the log, where those from before the task had its plain vector lack it.
    """
    wrong: dict[int, str] = {}
    if not decisions.num_rows:
        return wrong
    for rows, text, values in _findings(decisions, task, shapes or {}, None if stored else task.plain):
        for row in np.flatnonzero(rows).tolist():
            action, version = decisions["action"][row].as_py(), decisions["policy_version"][row].as_py()
            value = "" if values is None else f"{values[row]:.6g}"
            event = f"event {decisions['event_id'][row].as_py()}"
            wrong.setdefault(row, f"{event}: {text.format(action=action, version=version, value=value)}")
    return wrong


def _findings(decisions: pa.Table, task: Task, shapes: Mapping[str, int], required: str | None) -> Iterator[_Finding]:
    choices, propensities = _Choices.of(decisions), decisions["propensity"].to_numpy()
    listed, sums, of_actions = choices.listed, choices.sums(), choices.of_actions()
    yield _Finding(
        (listed > 0) & (listed != choices.counts), "probabilities: give one for each of the {value} candidates", listed
    )
    yield _Finding(choices.repeated, "candidates: one of them occurs twice")
    yield _Finding(choices.positions < 0, "action = {action!r}: is not one of the candidates")
    if isinstance(task.actions, int):
        yield from _numbered(decisions, task.actions, shapes, choices)
    yield _Finding(np.abs(sums - 1) > TOLERANCE, "probabilities: sum to {value}, not to 1", sums)
    wrong = np.abs(of_actions - propensities) > TOLERANCE * propensities
    yield _Finding(wrong, "propensity: differs from the probability of action {action!r}, {value}", of_actions)
    described = _lengths(decisions["candidate_features"])
    wrong = (described > 0) & (described != listed)
    yield _Finding(wrong, "candidate_features: give those of each of the {value} candidates, or none", listed)
    yield from _vectors(decisions, task, required)


def _numbered(decisions: pa.Table, actions: int, shapes: Mapping[str, int], choices: _Choices) -> Iterator[_Finding]:
    """Numbered actions must be those of the task or of the version: training allocates memory for all numbers below."""
    of_version = np.full(decisions.num_rows, actions)
    if shapes:
        of_version = np.array([shapes.get(version, actions) for version in decisions["policy_version"].to_pylist()])
    most = np.maximum(of_version, actions)
    wrong = (choices.numbers < 0) | (choices.numbers >= most)
    yield _Finding(wrong, "action = {action!r}: is none of the {value} actions of task and version {version!r}", most)
    wrong = (choices.listed == 0) & (choices.counts != of_version) & (choices.counts != actions)
    yield _Finding(wrong, "probabilities: give one for each of the {value} actions, or list the candidates", of_version)


def _vectors(decisions: pa.Table, task: Task, required: str | None) -> Iterator[_Finding]:
    """Vectors must have their task's lengths; all but a required one may be missing."""
    contexts = decisions["context"].combine_chunks()
    for name, expected, lengths, wrong in _lengths_by_vector(contexts, task.context, required):
        yield _Finding(wrong, f"context.{name}: has {{value}} numbers; the task's have {expected}", lengths)
    described = pc.list_flatten(decisions["candidate_features"]).combine_chunks()
    row_of = np.repeat(np.arange(decisions.num_rows), _lengths(decisions["candidate_features"]))
    for name, expected, _, wrong in _lengths_by_vector(described, task.action_features, None):
        rows = np.bincount(row_of[wrong], minlength=decisions.num_rows) > 0
        yield _Finding(rows, f"candidate_features.{name}: the task's have {expected} numbers")


def _lengths_by_vector(
    structs: pa.StructArray, kinds: Kinds, required: str | None
) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    """For each vector its name, its length in the task, and for each row its length and whether that is wrong."""
    for name, kind in kinds.items():
        if isinstance(kind, Vector):
            lengths = _lengths(pc.struct_field(structs, name))
            yield name, kind.vector, lengths, (lengths != kind.vector) & ((lengths > 0) | (name == required))


def _numbers(actions: pa.ChunkedArray) -> np.ndarray:
    """Actions as numbers [B]; -1 for ids that are none, such as 007."""
    encoded = actions.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    numbers = [int(text) if text.isdecimal() and len(text) < 19 and str(int(text)) == text else -1 for text in texts]
    return np.array(numbers, np.int64)[encoded.indices.to_numpy()]


def _lengths(lists: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return pc.list_value_length(lists).fill_null(0).to_numpy()


def _starts(counts: np.ndarray) -> np.ndarray:
    return counts.cumsum() - counts
