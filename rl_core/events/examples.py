"""Interactions as tf.train.Examples in TFRecord files. Imports TensorFlow.

TF-Agents' own example encoding is broken on NumPy 2, so the features are derived here from the types of the Arrow
schema: strings become bytes, timestamps (in microseconds) and integers int64, floating-point numbers float32.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from banditloop.rl_core.events.schema import INTERACTION
from banditloop.rl_core.tf import tf

ROWS_PER_FILE = 100_000
ROWS_PER_BATCH = 8_192


def write_examples(batches: Iterable[pa.RecordBatch], folder: Path) -> int:
    """Write interactions to files examples-NNNNN.tfrecord in `folder`, replacing it; returns their number."""
    shutil.rmtree(folder, ignore_errors=True)  # files of an earlier attempt
    folder.mkdir(parents=True)
    rows = 0
    for rows, example in enumerate(_examples(batches), start=1):
        if rows % ROWS_PER_FILE == 1:
            writer = tf.io.TFRecordWriter(str(folder / f"examples-{rows // ROWS_PER_FILE:05d}.tfrecord"))
        writer.write(example)
        if rows % ROWS_PER_FILE == 0:
            writer.close()
    if rows % ROWS_PER_FILE:
        writer.close()
    return rows


def example_files(folder: Path) -> list[Path]:
    """TFRecord files in a folder, in the order in which they were written."""
    return sorted(folder.glob("*.tfrecord"))


def read_examples(files: Iterable[Path]) -> Iterator[pa.Table]:
    """Interactions in TFRecord files, as tables of up to ROWS_PER_BATCH rows of schema INTERACTION."""
    features = {field.name: tf.io.RaggedFeature(_dtype(_item(field.type))) for field in INTERACTION}
    records = tf.data.TFRecordDataset([str(path) for path in files]).batch(ROWS_PER_BATCH)
    for parsed in records.map(lambda batch: tf.io.parse_example(batch, features)):
        yield pa.table([_column(parsed[field.name], field.type) for field in INTERACTION], schema=INTERACTION)


def _examples(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    for batch in batches:
        columns = [_features(batch.column(field.name), field.type) for field in INTERACTION]
        for row in zip(*columns, strict=True):
            features = tf.train.Features(feature=dict(zip(INTERACTION.names, row, strict=True)))
            yield tf.train.Example(features=features).SerializeToString()


def _features(column: pa.Array, kind: pa.DataType) -> Iterator[tf.train.Feature]:
    item = _item(kind)
    if pa.types.is_timestamp(item):
        column = column.cast(pa.int64())
    values = column.to_pylist()
    for value in values if pa.types.is_list(kind) else ([value] for value in values):
        if pa.types.is_string(item):
            yield tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in value]))
        elif pa.types.is_floating(item):
            yield tf.train.Feature(float_list=tf.train.FloatList(value=value))
        else:
            yield tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def _column(ragged: tf.RaggedTensor, kind: pa.DataType) -> pa.Array:
    item = _item(kind)
    values = pa.array(ragged.flat_values.numpy(), pa.binary() if pa.types.is_string(item) else None).cast(item)
    if not pa.types.is_list(kind):
        return values
    return pa.ListArray.from_arrays(pa.array(ragged.row_splits.numpy(), pa.int32()), values).cast(kind)


def _item(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def _dtype(item: pa.DataType) -> tf.DType:
    if pa.types.is_string(item):
        return tf.string
    return tf.float32 if pa.types.is_floating(item) else tf.int64
