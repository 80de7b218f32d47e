"""Validation of observations from requests and logs."""

from itertools import chain
from typing import Any

import numpy as np

from banditloop.rl_core.errors import InvalidInput, brief
from banditloop.rl_core.events.schema import MAX_ABS_VALUE


def check_observations(observations: Any, dim: int) -> np.ndarray:
    """Observations as float32 [B, dim].

    Raises:
        InvalidInput: they are not B lists of `dim` finite numbers of at most MAX_ABS_VALUE; names the first wrong one.
    """
    try:
        array = np.asarray(observations, np.float64) if _holds_only_numbers(observations) else np.empty(0)
    except (ValueError, OverflowError):
        array = np.empty(0)  # rows of different lengths, or an integer beyond the range of float64
    if array.ndim != 2 or array.shape[1] != dim:
        raise InvalidInput(f"{_describe_first_error(observations, dim)}: an observation is a list of {dim} numbers")
    if not np.vdot(array, array) <= MAX_ABS_VALUE**2:  # a bound on all values; NaN fails it, too
        _check_magnitudes(array)
    return array.astype(np.float32)


def _check_magnitudes(array: np.ndarray) -> None:
    """InvalidInput for the first value that is too large, infinite or NaN."""
    for row, column in np.argwhere(~(np.abs(array) <= MAX_ABS_VALUE)):
        raise InvalidInput(
            f"observation {row}: number {column} is {array[row, column]}; "
            f"it must be from {-MAX_ABS_VALUE:g} to {MAX_ABS_VALUE:g}"
        )


def _holds_only_numbers(observations: Any) -> bool:
    """Whether all values are numbers. Checked first: a text would make NumPy give every element the text's size."""
    if isinstance(observations, np.ndarray):
        return observations.dtype.kind in "fiu"
    try:
        return set(map(type, chain.from_iterable(observations))) <= {int, float}
    except TypeError:
        return False


def _describe_first_error(observations: Any, dim: int) -> str:
    """What is wrong with the first observation that is not a list of `dim` numbers."""
    for row, observation in enumerate(observations if isinstance(observations, list | np.ndarray) else []):
        if not isinstance(observation, list | np.ndarray):
            return f"observation {row} is {brief(observation, 40)}"
        if len(observation) != dim:
            return f"observation {row} has {len(observation)} numbers"
        for column, number in enumerate(observation):
            if isinstance(number, bool) or not isinstance(number, int | float | np.number):
                return f"observation {row}: number {column} is {brief(number, 40)}"
    return "observations"
