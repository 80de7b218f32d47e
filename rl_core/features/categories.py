"""The encodings of categories: one of them, or a set."""

import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from banditloop.rl_core.features.columns import MISSING, FeatureEncoding
from banditloop.rl_core.settings.feature_kinds import Kind


class CategoryEncoding(FeatureEncoding):
    """One column per known category, `hashed` columns that all others share, and whether it is missing."""

    kind: Literal["category"] = "category"
    categories: list[str] = Field([])
    hashed: int = 0

    @property
    def feature_kind(self) -> Kind:
        return "category" if self.hashed else self.categories

    @property
    def names(self) -> list[str]:
        others = [f"{self.name}=other {number}" for number in range(self.hashed)]
        return [*(f"{self.name}={category}" for category in self.categories), *others, f"{self.name}={MISSING}"]

    def append(self, value: str | None, row: list[float]) -> None:
        zeros = self._zeros.copy()
        zeros[self._column(value)] = 1.0
        row += zeros

    def columns(self, values: pa.Array) -> np.ndarray:
        encoded = np.zeros((len(values), len(self._zeros)))
        encoded[np.arange(len(values)), self._column_indices(values)] = 1.0
        return encoded

    def _column_indices(self, values: pa.Array) -> np.ndarray:
        """The column of each value; computed once per distinct value."""
        dictionary = values.dictionary_encode(null_encoding="encode")
        columns = np.array([self._column(value) for value in dictionary.dictionary.to_pylist()], int)
        return columns[dictionary.indices.to_numpy(zero_copy_only=False)] if len(values) else np.zeros(0, int)

    def _column(self, value: str | None) -> int:
        if value is None:
            return len(self._zeros) - 1
        column = self._index.get(value)
        if column is not None:
            return column
        if not self.hashed:
            return len(self._zeros) - 1
        return len(self.categories) + zlib.crc32(value.encode()) % self.hashed

    @cached_property
    def _index(self) -> dict[str, int]:
        return {category: column for column, category in enumerate(self.categories)}

    @cached_property
    def _zeros(self) -> list[float]:
        return [0.0] * len(self.names)


class CategoriesEncoding(CategoryEncoding):
    """A set of categories: several columns may be 1. An empty set is missing."""

    kind: Literal["categories"] = "categories"  # type: ignore[assignment]

    @property
    def feature_kind(self) -> Kind:
        return "categories"

    def append(self, value: Sequence[str] | None, row: list[float]) -> None:
        zeros = self._zeros.copy()
        for column in map(self._column, value) if value else (-1,):
            zeros[column] = 1.0
        row += zeros

    def columns(self, values: pa.Array) -> np.ndarray:
        encoded = np.zeros((len(values), len(self._zeros)))
        lengths = pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False)
        rows = np.repeat(np.arange(len(values)), lengths)
        encoded[rows, self._column_indices(pc.list_flatten(values))] = 1.0
        encoded[lengths == 0, -1] = 1.0
        return encoded
