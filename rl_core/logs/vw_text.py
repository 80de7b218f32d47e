"""Vowpal Wabbit's text format of contextual bandits: cb, one decision per line, and cb_adf, one action per line.

cb: `action:cost:probability | features`, actions numbered from 1 on. cb_adf: lines of actions, of which the chosen one
has the label `0:cost:probability`, after a line `shared | features`; an empty line ends the decision.
Features: `|namespace name:value name`, a value of 1 where there is none; `name=text` and `name:text` are categories.
(https://github.com/VowpalWabbit/vowpal_wabbit/wiki/Contextual-Bandit-algorithms)
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from banditloop.rl_core.errors import InvalidInput, brief
from banditloop.rl_core.logs.batches import BATCH_ROWS, RawBatch
from banditloop.rl_core.logs.nested import table_of

Line = tuple[int, str]  # with its number
SHARED = "shared"


def read_cb(path: Path, ids: Sequence[str] | None, left_out: Counter[str]) -> Iterator[RawBatch]:
    """The decisions of a file of cb. ids: those of the actions by position; None: 0, 1, …

    left_out: the number of examples without a label is added to it.
    """
    with path.open(encoding="utf-8") as file:
        rows = ((number, _plain(line, ids, f"{path}, line {number}")) for number, line in _lines(file))
        yield from _batches(path, rows, left_out)


def read_cb_adf(path: Path, ids: Sequence[str] | None, left_out: Counter[str]) -> Iterator[RawBatch]:
    """The decisions of a file of cb_adf. The arguments are those of `read_cb`."""
    with path.open(encoding="utf-8") as file:
        rows = ((lines[0][0], _adf(lines, ids, f"{path}, line {lines[0][0]}")) for lines in _examples(file))
        yield from _batches(path, rows, left_out)


def _batches(
    path: Path, rows: Iterator[tuple[int, dict[str, Any] | None]], left_out: Counter[str]
) -> Iterator[RawBatch]:
    while batch := list(islice(rows, BATCH_ROWS)):
        kept = [(number, row) for number, row in batch if row is not None]
        left_out["examples without a label"] += len(batch) - len(kept)
        if kept:
            yield RawBatch(path, [number for number, _ in kept], table_of([row for _, row in kept]), "line")


def _lines(file: Iterable[str]) -> Iterator[Line]:
    return ((number, line.rstrip("\n")) for number, line in enumerate(file, 1) if line.strip())


def _examples(file: Iterable[str]) -> Iterator[list[Line]]:
    """The lines of each example, between empty lines."""
    for is_empty, group in groupby(enumerate(file, 1), lambda line: not line[1].strip()):
        if not is_empty:
            yield [(number, line.rstrip("\n")) for number, line in group]


def _plain(line: str, ids: Sequence[str] | None, where: str) -> dict[str, Any] | None:
    labels, _, features = line.partition("|")
    labelled = [label for label in labels.split() if label.count(":") == 2]
    if not labelled:
        return None
    action, cost, probability = _label(labelled[0], where)
    if action < 1 or (ids is not None and action > len(ids)):
        raise InvalidInput(f"{where}: action {action}: give 1 to {len(ids) if ids else 'their number'}")
    named = ids[action - 1] if ids is not None else str(action - 1)
    return _features(features) | {"@action": named, "@reward": 0.0 - cost, "@propensity": probability}


def _adf(lines: list[Line], ids: Sequence[str] | None, where: str) -> dict[str, Any] | None:
    parts = [line.partition("|") for _, line in lines]
    shared = parts.pop(0)[2] if parts[0][0].startswith(SHARED) else ""
    chosen = [place for place, (label, _, _) in enumerate(parts) if ":" in label]
    if not chosen:
        return None
    if len(chosen) > 1:
        raise InvalidInput(f"{where}: {len(chosen)} actions have a label; give it to the chosen one")
    if ids is not None and len(ids) != len(parts):
        raise InvalidInput(f"{where}: has {len(parts)} actions; the task has {len(ids)}")
    names = list(ids or map(str, range(len(parts))))
    _, cost, probability = _label(parts[chosen[0]][0].split()[0], where)
    return _features(shared) | {
        "@action": names[chosen[0]],
        "@candidates": names,
        "@candidate_features": [_features(features) for _, _, features in parts],
        "@reward": 0.0 - cost,
        "@propensity": probability,
    }


def _label(text: str, where: str) -> tuple[int, float, float]:
    """Action, cost and probability of a label."""
    try:
        action, cost, probability = text.split(":")
        return int(action), float(cost), float(probability)
    except ValueError:
        raise InvalidInput(f"{where}: {brief(text)}: give action:cost:probability") from None


def _features(text: str) -> dict[str, Any]:
    """The features of all namespaces by name; those of a namespace with a name are namespace.feature."""
    features: dict[str, Any] = {}
    for part in text.split("|"):
        words = part.split()
        namespace = "" if not words or part[:1].isspace() else words.pop(0).partition(":")[0] + "."
        for word in words:
            name, separator, value = word.partition("=" if "=" in word else ":")
            features[namespace + name] = _value(value) if separator == ":" else value or 1.0
    return features


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
