"""Labelled tables as contexts and classes: scikit-learn's digits, or a CSV or Parquet file."""

import re
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.environments.synthetic import OBSERVATION
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.events.table_file import TableFile
from banditloop.rl_core.settings.feature_kinds import MAX_TEXT_LENGTH, Vector
from banditloop.rl_core.settings.reward_range import MAX_ABS_VALUE

DIGITS, PIXELS, BRIGHTEST = "digits", 64, 16
KEY, LABEL_KEY = "environment.dataset", "environment.label"
HINT = "give 'digits', or the path or gs:// URI of a CSV or Parquet file"
MAX_CLASSES = 1_000


class LabelledTable(NamedTuple):
    """Contexts, the kinds of their features, the names of the classes, and the class of each row by its position."""

    contexts: Contexts
    kinds: dict[str, Any]
    classes: list[str]
    labels: np.ndarray


def digits() -> LabelledTable:
    """1,797 handwritten digits: 8 x 8 pixels from 0 to 1, as one vector.

    Raises:
        InvalidInput: scikit-learn, which contains them, is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InvalidInput(f"{KEY} = {DIGITS!r}: is part of scikit-learn; pip install scikit-learn") from None
    images, labels = load_digits(return_X_y=True)
    contexts = {OBSERVATION: (images / BRIGHTEST).astype(np.float32)}
    return LabelledTable(contexts, {OBSERVATION: Vector(vector=PIXELS)}, [str(digit) for digit in range(10)], labels)


def labelled_table(source: str, label: str) -> LabelledTable:
    """The table in a CSV or Parquet file: every column but `label` is a feature. Rows without a label are left out.

    Raises:
        InvalidInput: the file cannot be read, has no such column, too many classes, or a column that is no feature.
    """
    table = _read_table(source)
    if label not in table.column_names:
        raise InvalidInput(f"{LABEL_KEY} = {label!r}: is not a column of {source}")
    if len(set(table.column_names)) < table.num_columns:
        raise InvalidInput(f"{KEY} = {source!r}: two columns have the same name; rename one")
    try:
        texts = table[label].cast(pa.string())
    except pa.ArrowException:
        raise InvalidInput(f"{LABEL_KEY} = {label!r}: holds {table[label].type}; give texts or numbers") from None
    labelled = pc.not_equal(texts, "")  # null where the label is
    table = table.filter(labelled)
    classes, labels = np.unique(texts.filter(labelled).to_pylist(), return_inverse=True)
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise InvalidInput(f"{LABEL_KEY} = {label!r}: has {len(classes)} classes; 2 to {MAX_CLASSES:,} can be actions")
    features = [_feature(name, table[name], source) for name in table.column_names if name != label]
    contexts, kinds = ({name: feature[part] for name, *feature in features} for part in (1, 0))
    if len(kinds) < len(features):
        raise InvalidInput(f"{KEY} = {source!r}: two columns have the same name, up to signs; rename one")
    return LabelledTable(contexts, kinds, classes.tolist(), labels)


def _read_table(source: str) -> pa.Table:
    try:
        return TableFile().read(source)
    except InvalidInput as error:
        raise InvalidInput(f"{KEY}: {error}; {HINT}") from None


def _feature(column: str, values: pa.ChunkedArray, source: str) -> tuple[str, str, list[Any]]:
    """The name, kind and values of a column as a feature; NaN and empty texts are missing."""
    name = re.sub("[^A-Za-z0-9]", "_", column)
    if not re.match("[A-Za-z]", name):
        raise InvalidInput(
            f"{KEY} = {source!r}: column {column!r}: give it a name that starts with a letter, or drop it"
        )
    if pa.types.is_boolean(values.type):
        return name, "boolean", values.to_pylist()
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        numbers = values.cast(pa.float64(), safe=False)
        finite = numbers.filter(pc.is_finite(numbers))
        if pc.any(pc.greater(pc.abs(finite), MAX_ABS_VALUE)).as_py():
            raise InvalidInput(
                f"{KEY} = {source!r}: column {column!r} has values beyond {MAX_ABS_VALUE:,.0f}; scale it"
            )
        return name, "number", pc.if_else(pc.is_finite(numbers), numbers, None).to_pylist()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_dictionary(values.type):
        return name, "category", [str(text)[:MAX_TEXT_LENGTH] if text else None for text in values.to_pylist()]
    raise InvalidInput(f"{KEY} = {source!r}: column {column!r} is {values.type}; give numbers, booleans or texts")
