"""Vowpal Wabbit's dsjson, the log of its decision services: one decision with its cost per line.

EventId and Timestamp; c: the context, one object per feature namespace, and in _multi the actions with their features;
a: the actions by rank, numbered from 1 on, and p: their probabilities; _labelIndex or _label_Action: the chosen one,
from 0 or 1 on; _label_cost: minus its reward, otherwise the observations o: their values v add up; pdrop: the
probability with which a decision was not logged; _skipLearn: it was never shown. _label_probability is the propensity,
in some logs times 1 - pdrop. (https://github.com/VowpalWabbit/vowpal_wabbit/wiki/DSJSON)

Lines without a context are observations that came without their decision. Namespaces and features that begin with _
are ignored, as by Vowpal Wabbit.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from banditloop.rl_core.errors import InvalidInput, brief
from banditloop.rl_core.logs.batches import RawBatch
from banditloop.rl_core.logs.files import json_lines
from banditloop.rl_core.logs.nested import flatten, table_of

TOLERANCE = 1e-3  # of probabilities, which are written with few digits
OTHER_PROBLEMS = ("_outcomes", "_label_ca", "_slots")


def read_dsjson(path: Path, ids: Sequence[str] | None, left_out: Counter[str]) -> Iterator[RawBatch]:
    """The decisions of a file. ids: those of the actions by their position, where they have no _tag; None: 0, 1, …

    left_out: the number of lines without a decision that was shown is added to it, by reason.
    """
    for numbers, lines in json_lines(path):
        rows, kept = [], []
        for number, line in zip(numbers, lines, strict=True):
            if reason := _not_shown(line):
                left_out[reason] += 1
                continue
            rows.append(_row(line, ids, f"{path}, line {number}"))
            kept.append(number)
        if rows:
            yield RawBatch(path, kept, table_of(rows), "line")


def _not_shown(line: dict[str, Any]) -> str:
    if "c" not in line:
        return "observations without a decision"
    return "decisions that were not activated" if line.get("_skipLearn") is True else ""


def _row(line: dict[str, Any], ids: Sequence[str] | None, where: str) -> dict[str, Any]:
    context = line["c"]
    if not isinstance(context, dict):
        raise InvalidInput(f"{where}: c = {brief(context)}: give an object, the context")
    for key in OTHER_PROBLEMS:
        if key in line or key in context:
            raise InvalidInput(
                f"{where}: {key}: slates and continuous actions are not imported, only one action of several"
            )
    actions = context.get("_multi")
    if not isinstance(actions, list) or not actions:
        raise InvalidInput(f"{where}: c._multi: give the actions as a list of objects")
    chosen = _chosen(line, len(actions), where)
    probabilities = _probabilities(line, len(actions), where)
    names = _names(actions, ids, where)
    return _features(context) | {
        "@event_id": line.get("EventId", line.get("event_id")),
        "@timestamp": line.get("Timestamp"),
        "@action": names[chosen],
        "@candidates": names,
        "@candidate_features": [_features(action) for action in actions],
        "@propensity": _propensity(line, probabilities[chosen] if probabilities else None, where),
        "@probabilities": probabilities,
        "@reward": _reward(line, where),
        "@logging_probability": 1 - _number(line.get("pdrop", 0.0), "pdrop", where),
    }


def _chosen(line: dict[str, Any], count: int, where: str) -> int:
    """The position of the chosen action."""
    key, label, first = _label(line)
    if not _is_whole(label) or not first <= label < first + count:
        hint = f"give the position of one of the {count} actions, from {first} on"
        raise InvalidInput(f"{where}: {key} = {brief(label)}: {hint}")
    return label - first


def _label(line: dict[str, Any]) -> tuple[str, Any, int]:
    """The key that says which action was chosen, its value, and the number of the first action there."""
    ranked = line.get("a")
    if line.get("_labelIndex") is None and line.get("_label_Action") is not None:
        return "_label_Action", line["_label_Action"], 1
    if line.get("_labelIndex") is None and isinstance(ranked, list) and ranked:
        return "a[0]", ranked[0], _first_number(ranked)
    return "_labelIndex", line.get("_labelIndex"), 0


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _first_number(ranked: list[Any]) -> int:
    """The number of the first action in a: 1, or 0 in some logs."""
    return 0 if 0 in ranked else 1


def _probabilities(line: dict[str, Any], count: int, where: str) -> list[float] | None:
    """The probabilities of the actions in their own order; None without p."""
    ranked, given = line.get("a"), line.get("p")
    if given is None:
        return None
    if not isinstance(ranked, list) or not isinstance(given, list) or not len(ranked) == len(given) == count:
        raise InvalidInput(f"{where}: a and p: give a rank and a probability for each of the {count} actions")
    first = _first_number(ranked)
    if not all(map(_is_whole, ranked)) or sorted(ranked) != list(range(first, first + count)):
        raise InvalidInput(f"{where}: a = {brief(ranked)}: give every number from 1 to {count} once")
    by_action = dict(zip(ranked, given, strict=True))
    return [_number(by_action[number], "p", where) for number in range(first, first + count)]


def _propensity(line: dict[str, Any], probability: float | None, where: str) -> float:
    """The propensity of the chosen action: the one in p, which _label_probability must not contradict."""
    label = line.get("_label_probability")
    if probability is None:
        return _number(label, "_label_probability", where)
    if label is not None:
        kept = 1 - _number(line.get("pdrop", 0.0), "pdrop", where)
        stated = _number(label, "_label_probability", where)
        if not any(math.isclose(stated, expected, rel_tol=TOLERANCE) for expected in (probability, probability * kept)):
            raise InvalidInput(f"{where}: _label_probability = {stated:g}: p gives the chosen action {probability:g}")
    return probability


def _reward(line: dict[str, Any], where: str) -> float | None:
    """Minus the cost or, without one, the sum of the observations' values; None without either."""
    if (cost := line.get("_label_cost")) is not None:
        return 0.0 - _number(cost, "_label_cost", where)
    observations = line.get("o") or []
    if not isinstance(observations, list):
        raise InvalidInput(f"{where}: o = {brief(observations)}: give a list of observations")
    given = [each["v"] for each in observations if isinstance(each, dict) and isinstance(each.get("v"), int | float)]
    values = [_number(0 + value, "o.v", where) for value in given]  # true is 1
    return sum(values) if values else None


def _names(actions: list[Any], ids: Sequence[str] | None, where: str) -> list[str]:
    """The ids of the actions: their tags, if all have one, otherwise by position."""
    tags = [action.get("_tag") if isinstance(action, dict) else None for action in actions]
    if all(isinstance(tag, str) and tag for tag in tags):
        return [str(tag) for tag in tags]
    if ids is not None and len(ids) != len(actions):
        raise InvalidInput(
            f"{where}: c._multi has {len(actions)} actions without a _tag; the task has {len(ids)} actions"
        )
    return list(ids or map(str, range(len(actions))))


def _features(values: Any) -> dict[str, Any]:
    """The features of a context or an action by name, as Namespace.feature; a namespace may be a list of objects."""
    if not isinstance(values, dict):
        return {}
    flattened = flatten({name: _merged(value) for name, value in values.items()})
    return {name: value for name, value in flattened.items() if not any(part[:1] == "_" for part in name.split("."))}


def _merged(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        return value
    return {name: each for part in value for name, each in part.items()}


def _number(value: Any, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > sys.float_info.max:
        raise InvalidInput(f"{where}: {key} = {brief(value)}: give a number")
    return float(value)
