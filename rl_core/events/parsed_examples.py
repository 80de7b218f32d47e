"""Examples parsed into lists of values per feature.

Those laid out as ours are read by column. Others are parsed one by one: a few in Python, many by TensorFlow, which is
five times as fast, but takes seconds to import.
"""

import contextlib
from collections.abc import Iterator, Mapping
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.example_layout import OtherLayout, Ragged, columns
from banditloop.rl_core.events.example_message import DecodeError, Example
from banditloop.rl_core.events.tfrecords import read_columns, read_records

ROWS_PER_BATCH = 8_192
MANY_BYTES = 32 << 20  # a file of about this size takes as long to parse in Python as TensorFlow to import
Kinds = Mapping[str, str]  # the kind of list of each feature: bytes_list, float_list or int64_list
DTYPES = {"float_list": np.float32, "int64_list": np.int64}


def parse_examples(file: Path, kinds: Kinds) -> Iterator[dict[str, Ragged]]:
    """The features of the examples in a TFRecord file, in batches of up to ROWS_PER_BATCH.

    Raises:
        InvalidInput: the file is damaged, or holds something else.
    """
    for records in read_columns(file, ROWS_PER_BATCH):
        try:
            yield columns(records, kinds)
        except OtherLayout:
            yield _parsed(file, records, kinds)


def first_names(file: Path) -> set[str]:
    """The names of the features of the first example in a TFRecord file, none if it has no example.

    Raises:
        InvalidInput: the file is damaged, or holds something else.
    """
    with _named_errors(file):
        first = next(read_records(file), None)
        return set() if first is None else set(Example.FromString(first).features.feature)


def _parsed(file: Path, records: pa.Array, kinds: Kinds) -> dict[str, Ragged]:
    parse = parse_with_tensorflow if file.stat().st_size >= MANY_BYTES else parse_in_python
    with _named_errors(file):
        return parse(records, kinds)


@contextlib.contextmanager
def _named_errors(file: Path) -> Iterator[None]:
    """A block whose DecodeError is raised as InvalidInput, which names the file."""
    try:
        yield
    except DecodeError as error:
        raise InvalidInput(f"{file}: holds no tf.train.Examples of the task: {error}") from None


def parse_in_python(records: pa.Array, kinds: Kinds) -> dict[str, Ragged]:
    """The features of any Examples, large binary [B]. DecodeError: one is none, or a feature is of another kind."""
    features = [Example.FromString(record).features.feature for record in records.to_pylist()]
    return {name: _ragged([_values(row[name], name, kind) for row in features], kind) for name, kind in kinds.items()}


def _values(feature: Any, name: str, kind: str) -> Any:
    """The values of a feature, none where it is absent."""
    if (stored_kind := feature.WhichOneof("kind")) not in (kind, None):
        raise DecodeError(f"the feature {name} is of the kind {stored_kind}, it must be of {kind}")
    return getattr(feature, kind).value


def parse_with_tensorflow(records: pa.Array, kinds: Kinds) -> dict[str, Ragged]:
    """See parse_in_python."""
    from banditloop.rl_core.tf import tf

    dtypes = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}
    features = {name: tf.io.RaggedFeature(dtypes[kind]) for name, kind in kinds.items()}
    try:
        parsed = tf.io.parse_example(records.to_pylist(), features)
    except tf.errors.InvalidArgumentError as error:
        parse_in_python(records, kinds)  # raises a clearer error if it finds one
        raise DecodeError(error.message) from None
    return {
        name: _typed(rows.flat_values.numpy(), rows.row_splits.numpy(), kinds[name]) for name, rows in parsed.items()
    }


def _ragged(rows: list[Any], kind: str) -> Ragged:
    splits = np.fromiter(accumulate(map(len, rows), initial=0), np.int64, len(rows) + 1)
    return _typed(list(chain.from_iterable(rows)), splits, kind)


def _typed(values: Any, splits: np.ndarray, kind: str) -> Ragged:
    is_bytes = kind == "bytes_list"
    return Ragged(pa.array(values, pa.large_binary()) if is_bytes else np.asarray(values, DTYPES[kind]), splits)
