"""Observations as they come from outside, checked."""

from itertools import chain
from typing import Any

import numpy as np

from rl_core.errors import InvalidInput
from rl_core.schema import LARGEST


def check_observations(observations: Any, dim: int) -> np.ndarray:
    """Observations as float32 [B, dim], or InvalidInput that says which one is wrong and how."""
    try:
        array = np.asarray(observations, np.float64) if _are_numbers(observations) else np.empty(0)
    except (ValueError, OverflowError):
        array = np.empty(0)  # rows of different lengths, or an integer that no float comes near
    if array.ndim != 2 or array.shape[1] != dim:
        raise InvalidInput(f"{_first_misfit(observations, dim)}: an observation is a list of {dim} numbers")
    if not np.vdot(array, array) <= LARGEST**2:  # then none of them is larger
        _check_sizes(array)
    return array.astype(np.float32)


def _check_sizes(array: np.ndarray) -> None:
    """InvalidInput for the first that is too large, or no number."""
    for row, column in np.argwhere(~(np.abs(array) <= LARGEST)):
        raise InvalidInput(
            f"observation {row}: number {column} is {array[row, column]}; it must be from {-LARGEST:g} to {LARGEST:g}"
        )


def _are_numbers(observations: Any) -> bool:
    """Before an array is made, which would make room for the longest text among them in every place."""
    if isinstance(observations, np.ndarray):
        return observations.dtype.kind in "fiu"
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
