"""The encodings of single features: columns of numbers, by the feature's kind and what was found in the log.

Each has two forms that give the same numbers to the last bit: `append` for one value of a request, in plain Python,
which is the fastest for one row, and `columns` for the values of a log.
"""

import abc
import bisect
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from banditloop.rl_core.settings.feature_kinds import Kind, Vector
from banditloop.rl_core.settings.section import Section

LIMIT = 10.0  # standardised numbers are clipped here, in standard deviations
HALF_WIDTH = 3**0.5  # numbers that are uniform from -HALF_WIDTH to HALF_WIDTH have a variance of 1
MISSING = "missing"


class FeatureEncoding(Section, abc.ABC):
    """The columns of one feature."""

    name: str

    @property
    @abc.abstractmethod
    def feature_kind(self) -> Kind:
        """The kind of the feature, as in a task."""

    @property
    @abc.abstractmethod
    def names(self) -> list[str]:
        """The names of the columns."""

    @abc.abstractmethod
    def append(self, value: Any, row: list[float]) -> None:
        """Append the columns' numbers for a value of the feature's kind, or for None where it is missing."""

    @abc.abstractmethod
    def columns(self, values: pa.Array) -> np.ndarray:
        """The columns' numbers [B, columns] for the values of B rows."""


class NumberEncoding(FeatureEncoding):
    """A number, standardised, and whether it is missing.

    A skewed one is mapped piecewise linearly from its quantiles, the knots, to equal distances.
    """

    kind: Literal["number"] = "number"
    mean: float = 0.0
    deviation: float = 1.0
    knots: list[float] = Field([])

    @property
    def feature_kind(self) -> Kind:
        return "number"

    @property
    def names(self) -> list[str]:
        return [self.name, f"{self.name}={MISSING}"]

    def append(self, value: float | None, row: list[float]) -> None:
        if value is None:
            row += (0.0, 1.0)
            return
        number = float(np.float32(value))  # the precision of examples
        if self.knots:
            row += (self._from_knots(number), 0.0)
        else:
            row += (min(max((number - self.mean) / self.deviation, -LIMIT), LIMIT), 0.0)

    def columns(self, values: pa.Array) -> np.ndarray:
        missing = values.is_null().to_numpy(zero_copy_only=False)
        numbers = values.fill_null(0.0).to_numpy(zero_copy_only=False).astype(np.float32).astype(np.float64)
        if self.knots:
            encoded = self._all_from_knots(numbers)
        else:
            encoded = np.clip((numbers - self.mean) / self.deviation, -LIMIT, LIMIT)
        return np.column_stack([np.where(missing, 0.0, encoded), missing])

    def _from_knots(self, value: float) -> float:
        knots, last = self.knots, len(self.knots) - 1
        left = min(max(bisect.bisect_right(knots, value) - 1, 0), last - 1)
        fraction = min(max((value - knots[left]) / (knots[left + 1] - knots[left]), 0.0), 1.0)
        return ((left + fraction) / last * 2 - 1) * HALF_WIDTH

    def _all_from_knots(self, values: np.ndarray) -> np.ndarray:
        knots, last = np.array(self.knots), len(self.knots) - 1
        left = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, last - 1)
        fraction = np.clip((values - knots[left]) / (knots[left + 1] - knots[left]), 0.0, 1.0)
        return ((left + fraction) / last * 2 - 1) * HALF_WIDTH


class BooleanEncoding(FeatureEncoding):
    """Whether a boolean is true, and whether it is missing."""

    kind: Literal["boolean"] = "boolean"

    @property
    def feature_kind(self) -> Kind:
        return "boolean"

    @property
    def names(self) -> list[str]:
        return [self.name, f"{self.name}={MISSING}"]

    def append(self, value: bool | None, row: list[float]) -> None:
        row += (0.0, 1.0) if value is None else (float(value), 0.0)

    def columns(self, values: pa.Array) -> np.ndarray:
        missing = values.is_null().to_numpy(zero_copy_only=False)
        return np.column_stack([values.fill_null(False).to_numpy(zero_copy_only=False), missing]).astype(float)


class VectorEncoding(FeatureEncoding):
    """A vector's numbers, each standardised, and whether it is missing.

    A plain one, the only feature of a task, is used as it is. (It is missing only where the task got more features
    since; then it is zeros.)
    """

    kind: Literal["vector"] = "vector"
    length: int
    plain: bool = False
    means: list[float] = Field([])
    deviations: list[float] = Field([])

    @property
    def feature_kind(self) -> Kind:
        return Vector(vector=self.length)

    @property
    def names(self) -> list[str]:
        numbers = [f"{self.name}[{index}]" for index in range(self.length)]
        return numbers if self.plain else [*numbers, f"{self.name}={MISSING}"]

    def append(self, value: Sequence[float] | None, row: list[float]) -> None:
        if value:
            row += self._standardised(np.array(value, np.float32)[None])[0].tolist()
        else:
            row += [0.0] * self.length
        if not self.plain:
            row.append(0.0 if value else 1.0)

    def columns(self, values: pa.Array) -> np.ndarray:
        given = pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False) > 0
        flat = pc.list_flatten(values).to_numpy(zero_copy_only=False).reshape(-1, self.length)
        if self.plain and given.all():
            return flat
        encoded = np.zeros((len(values), len(self.names)))
        encoded[given, : self.length] = self._standardised(flat)
        if not self.plain:
            encoded[~given, -1] = 1.0
        return encoded

    def _standardised(self, vectors: np.ndarray) -> np.ndarray:
        if not self.means:
            return vectors.astype(np.float64)
        return np.clip((vectors.astype(np.float64) - self.means) / self.deviations, -LIMIT, LIMIT)
