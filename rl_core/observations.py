"""Observations as they come from outside, checked."""

from itertools import chain
from typing import Any

import numpy as np

from rl_core.errors import InvalidInput
from rl_core.schema import LARGEST


def check_observations(observations: Any, dim: int) -> np.ndarray:
    """Observations as float32 [B, dim], or InvalidInput that says which one is wrong and how."""
    try:
        array = np.asarray(observations) if _are_numbers(observations) else np.empty(0, object)
    except ValueError:
        array = np.empty(0, object)  # rows of different lengths
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != dim:
        raise InvalidInput(f"{_first_misfit(observations, dim)}: an observation is a list of {dim} numbers")
    sizes = np.abs(np.asarray(array, np.float64))  # of the least integer, abs would be negative
    if not np.maximum.reduce(sizes, axis=None, initial=0) <= LARGEST:  # nor is it when one is no number
        row, column = np.argwhere(~(sizes <= LARGEST))[0]
        raise InvalidInput(
            f"observation {row}: number {column} is {array[row, column]}; it must be from {-LARGEST:g} to {LARGEST:g}"
        )
    return array.astype(np.float32)


def _are_numbers(observations: Any) -> bool:
    """Before an array is made, which would make room for the longest text among them in every place."""
    if isinstance(observations, np.ndarray):
        return True
    try:
        return set(map(type, chain.from_iterable(observations))) <= {int, float}
    except TypeError:
        return False


def _first_misfit(observations: Any, dim: int) -> str:
    for row, observation in enumerate(observations if isinstance(observations, list | np.ndarray) else []):
        if not isinstance(observation, list | np.ndarray):
            return f"observation {row} is {observation!r:.40}"
        if len(observation) != dim:
            return f"observation {row} has {len(observation)} numbers"
        for column, number in enumerate(observation):
            if isinstance(number, bool) or not isinstance(number, int | float | np.number):
                return f"observation {row}: number {column} is {number!r:.40}"
    return "observations"
