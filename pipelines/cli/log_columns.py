"""The columns of a log, in memory, as numbers and values for the estimators."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.logs import values
from banditloop.rl_core.logs.batches import Cells, RawBatch, combined
from banditloop.rl_core.logs.columns import Columns, no_column
from banditloop.rl_core.settings.reward_range import RewardRange


@dataclass(frozen=True)
class LogColumns:
    """The columns of all rows of a log, by the name of a field, of a feature, or their own."""

    batches: list[tuple[RawBatch, Columns]]

    @property
    def fields(self) -> Mapping[str, str]:
        """The columns of fields."""
        return self.batches[-1][1].fields

    @property
    def rows(self) -> int:
        """The number of rows, B."""
        return sum(batch.table.num_rows for batch, _ in self.batches)

    def are_given(self, name: str) -> np.ndarray:
        """Which cells of a column are not empty, bool [B]."""
        return np.concatenate([cells.values.is_valid().to_numpy(zero_copy_only=False) for cells in self._cells(name)])

    def numbers(self, name: str, default: float = np.nan) -> np.ndarray:
        """The numbers of a column [B].

        Raises:
            InvalidInput: there is no such column and no default; names the nearest.
        """
        numbers = np.concatenate([values.numbers(cells) for cells in self._cells(name, np.isnan(default))])
        return np.where(np.isnan(numbers), default, numbers)

    def values(self, name: str) -> np.ndarray:
        """The values of a column [B], whatever they are."""
        arrays = [combined(cells.values) for cells in self._cells(name)]
        return np.array([value for array in arrays for value in array.to_pylist()], object)

    def rewards(self, rewards: RewardRange, default: float | None) -> np.ndarray:
        """The rewards [B], in this range; default: of rows without one."""
        parts = []
        for cells in self._cells("reward"):
            numbers = values.numbers(cells)
            cells.refuse(np.isnan(numbers) & (default is None), "has no reward; give --default-reward")
            inside = np.isnan(numbers) | rewards.contains(numbers)
            cells.refuse(~inside, f"is outside the range {rewards.low:g} to {rewards.high:g}; give --reward-range")
            parts.append(np.where(np.isnan(numbers), default, numbers) if default is not None else numbers)
        return np.concatenate(parts)

    def _cells(self, name: str, required: bool = True) -> list[Cells]:
        """The cells of each batch."""
        return [batch.cells(self._source(name, columns, required)) for batch, columns in self.batches]

    def _source(self, name: str, columns: Columns, required: bool) -> str:
        """The column of a field, of a feature, or of its own name."""
        feature = columns.features.get(name)
        column = columns.fields.get(name) or (feature if isinstance(feature, str) else name)
        if required and not any(column in batch.table.column_names for batch, _ in self.batches):
            raise no_column(name, self.batches[0][0].table.column_names)
        return column
