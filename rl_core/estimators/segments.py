"""Segments of a log by the values of a column."""

from collections import Counter
from itertools import pairwise

import numpy as np

from banditloop.rl_core.estimators.frames import is_missing, label

MAX_SEGMENTS = 12  # of one column: the most frequent values
MIN_DISTINCT = 13  # different numbers, from which on a column is divided into parts of about equal size
PARTS = 4
MOST_DIGITS = 17  # of a number, with which all differ
Segments = dict[str, np.ndarray]  # the rows, bool [B], by label
MISSING, OTHERS = "missing", "others"


def segments(name: str, values: np.ndarray) -> Segments:
    """The rows, bool [B], of each segment by its label, as "country = DE" or "age < 30"; missing values are their own.

    Numbers are divided at their quartiles, unless few of them differ.
    """
    missing = np.array([is_missing(value) for value in values.tolist()], bool)
    present = values[~missing]
    try:
        numbers = None if present.dtype.kind == "b" else present.astype(float)
    except (TypeError, ValueError):
        numbers = None
    if numbers is not None and len(np.unique(numbers)) >= MIN_DISTINCT:
        members = _parts(name, numbers, missing)
    else:
        members = _values(name, list(map(label, present.tolist())), missing)
    return members | ({f"{name} {MISSING}": missing} if missing.any() else {})


def _parts(name: str, numbers: np.ndarray, missing: np.ndarray) -> Segments:
    edges = np.unique(np.quantile(numbers, np.arange(1, PARTS) / PARTS))
    part = np.full(len(missing), -1)
    part[~missing] = np.searchsorted(edges, numbers, side="right")
    texts = _texts(edges)
    ranges = [f"{name} < {texts[0]}", *(f"{low} <= {name} < {high}" for low, high in pairwise(texts))]
    members = {text: part == number for number, text in enumerate([*ranges, f"{name} >= {texts[-1]}"])}
    return {text: is_member for text, is_member in members.items() if is_member.any()}


def _texts(numbers: np.ndarray) -> list[str]:
    """Different numbers as different texts, of six digits if these suffice."""
    for digits in range(6, MOST_DIGITS):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(texts):
            return texts
    return [f"{number:.{MOST_DIGITS}g}" for number in numbers]


def _values(name: str, labels: list[str], missing: np.ndarray) -> Segments:
    column = np.full(len(missing), "", object)
    column[~missing] = labels
    frequent = [label for label, _ in Counter(labels).most_common(MAX_SEGMENTS)]
    members = {f"{name} = {label}": ~missing & (column == label) for label in sorted(frequent)}
    others = ~missing & ~np.isin(column, frequent)
    return members | ({f"{name}: {OTHERS}": others} if others.any() else {})
