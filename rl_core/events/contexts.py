"""Contexts in columns, by the name of their feature: those of environments and of the log."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.rl_core.settings.task import Task

Contexts = Mapping[str, Sequence[Any] | np.ndarray]  # values of B contexts by feature; a vector's are [B, length]


def context_array(task: Task, contexts: Contexts) -> pa.StructArray:
    """Contexts in columns as an Arrow array of the task's type; features that are not given are null.

    Raises:
        pyarrow.ArrowInvalid: values are not of their feature's kind.
    """
    kind = task.context_type
    rows = len(next(iter(contexts.values()), ()))
    columns = [_column(contexts.get(field.name), field.type, rows) for field in kind]
    return pa.StructArray.from_arrays(columns, fields=list(kind))


def context_rows(contexts: Contexts) -> list[dict[str, Any]]:
    """Contexts in columns as one mapping per context, of plain Python values."""
    columns = [values.tolist() if isinstance(values, np.ndarray) else values for values in contexts.values()]
    return [dict(zip(contexts, row, strict=True)) for row in zip(*columns, strict=True)]


def take(contexts: Contexts, rows: np.ndarray) -> Contexts:
    """The contexts at some rows [K]."""
    return {
        name: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
        for name, values in contexts.items()
    }


def _column(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    if isinstance(values, np.ndarray) and values.ndim == 2:
        offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
        return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()).cast(kind.value_type)).cast(kind)
    return pa.array(values, kind)
