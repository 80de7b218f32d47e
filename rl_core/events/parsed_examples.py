"""Examples parsed into lists of values per feature: a few of them in Python, many by TensorFlow.

TensorFlow parses five times as fast, but takes seconds to import.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from banditloop.rl_core.events.example_message import Example
from banditloop.rl_core.events.tfrecords import read_records

ROWS_PER_BATCH = 8_192
MANY_BYTES = 32 << 20  # files of about this size take as long to parse in Python as TensorFlow to import
Kinds = Mapping[str, str]  # the kind of list of each feature: bytes_list, float_list or int64_list
DTYPES = {"bytes_list": object, "float_list": np.float32, "int64_list": np.int64}


class Ragged(NamedTuple):
    """The values of a feature of B examples: row i has values[splits[i] : splits[i + 1]]."""

    values: np.ndarray
    splits: np.ndarray


def parse_examples(files: Sequence[Path], kinds: Kinds) -> Iterator[dict[str, Ragged]]:
    """The features of the examples in TFRecord files, in batches of up to ROWS_PER_BATCH."""
    many = sum(file.stat().st_size for file in files) >= MANY_BYTES
    return parse_with_tensorflow(files, kinds) if many else parse_in_python(files, kinds)


def parse_in_python(files: Sequence[Path], kinds: Kinds) -> Iterator[dict[str, Ragged]]:
    """See parse_examples."""
    records = chain.from_iterable(map(read_records, files))
    while batch := list(islice(records, ROWS_PER_BATCH)):
        features = [Example.FromString(record).features.feature for record in batch]
        yield {
            name: _ragged([getattr(row[name], kind).value for row in features], kind) for name, kind in kinds.items()
        }


def parse_with_tensorflow(files: Sequence[Path], kinds: Kinds) -> Iterator[dict[str, Ragged]]:
    """See parse_examples."""
    from banditloop.rl_core.tf import tf

    dtypes = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}
    features = {name: tf.io.RaggedFeature(dtypes[kind]) for name, kind in kinds.items()}
    records = tf.data.TFRecordDataset([str(file) for file in files]).batch(ROWS_PER_BATCH)
    for parsed in records.map(lambda batch: tf.io.parse_example(batch, features)):
        yield {name: Ragged(rows.flat_values.numpy(), rows.row_splits.numpy()) for name, rows in parsed.items()}


def _ragged(rows: list[Any], kind: str) -> Ragged:
    splits = np.fromiter(accumulate(map(len, rows), initial=0), np.int64, len(rows) + 1)
    return Ragged(np.array(list(chain.from_iterable(rows)), DTYPES[kind]), splits)
