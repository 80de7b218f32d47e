"""Interactions as tf.train.Examples in TFRecord files. Imports TensorFlow.

TF-Agents' own example encoding is broken on NumPy 2, so the features are derived here from the types of the Arrow
schema: strings become bytes, timestamps (in microseconds), booleans and integers int64, floating-point numbers float32.
A null has no values. The fields of a struct become features of their own, as context.age; a list of structs becomes
the bytes of its JSON.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.actions_seen import ActionsSeen
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.tf import tf

ROWS_PER_FILE = 100_000
ROWS_PER_BATCH = 8_192


def write_examples(batches: Iterable[pa.RecordBatch], folder: Path) -> int:
    """Write interactions to files examples-NNNNN.tfrecord in `folder`, replacing it; returns their number.

    What was seen of their actions is written beside them.
    """
    shutil.rmtree(folder, ignore_errors=True)  # files of an earlier attempt
    folder.mkdir(parents=True)
    rows, actions = 0, ActionsSeen()
    for rows, example in enumerate(_examples(actions.watch(batches)), start=1):
        if rows % ROWS_PER_FILE == 1:
            writer = tf.io.TFRecordWriter(str(folder / f"examples-{rows // ROWS_PER_FILE:05d}.tfrecord"))
        writer.write(example)
        if rows % ROWS_PER_FILE == 0:
            writer.close()
    if rows % ROWS_PER_FILE:
        writer.close()
    actions.write(folder)
    return rows


def example_actions(folder: Path, task: Task) -> ActionsSeen:
    """The actions of the interactions in a folder; read from the files if nothing about them is beside these."""
    actions = ActionsSeen.read(folder)
    if actions is None:
        actions = ActionsSeen()
        for _ in actions.watch(read_examples(example_files(folder), task)):
            pass
    return actions


def example_files(folder: Path) -> list[Path]:
    """TFRecord files in a folder, in the order in which they were written."""
    return sorted(folder.glob("*.tfrecord"))


def read_examples(files: Iterable[Path], task: Task) -> Iterator[pa.Table]:
    """Interactions of a task in TFRecord files, as tables of up to ROWS_PER_BATCH rows."""
    schema = interaction_schema(task)
    features = {name: tf.io.RaggedFeature(_dtype(_item(kind))) for name, kind in _leaves(schema)}
    records = tf.data.TFRecordDataset([str(path) for path in files]).batch(ROWS_PER_BATCH)
    for parsed in records.map(lambda batch: tf.io.parse_example(batch, features)):
        yield pa.table([_column(parsed, field, field.name) for field in schema], schema=schema)


def _leaves(fields: Iterable[pa.Field], prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """The name and type of every feature."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _leaves(field.type, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field.type


def _leaf_columns(columns: Iterable[pa.Array], fields: Iterable[pa.Field]) -> Iterator[tuple[pa.Array, pa.DataType]]:
    for column, field in zip(columns, fields, strict=True):
        if pa.types.is_struct(field.type):
            yield from _leaf_columns([column.field(child.name) for child in field.type], field.type)
        else:
            yield column, field.type


def _examples(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    for batch in batches:
        names = [name for name, _ in _leaves(batch.schema)]
        columns = [_features(column, kind) for column, kind in _leaf_columns(batch.columns, batch.schema)]
        for row in zip(*columns, strict=True):
            features = tf.train.Features(feature=dict(zip(names, row, strict=True)))
            yield tf.train.Example(features=features).SerializeToString()


def _features(column: pa.Array, kind: pa.DataType) -> Iterator[tf.train.Feature]:
    item = _item(kind)
    if pa.types.is_timestamp(item):
        column = column.cast(pa.int64())
    for value in column.to_pylist():
        values: Any = value if value is not None else []
        if _is_json(kind):
            yield tf.train.Feature(bytes_list=tf.train.BytesList(value=[orjson.dumps(values)]))
            continue
        if value is not None and not pa.types.is_list(kind):
            values = [value]
        if pa.types.is_string(item):
            yield tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in values]))
        elif pa.types.is_floating(item):
            yield tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            yield tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _column(parsed: dict[str, tf.RaggedTensor], field: pa.Field, name: str) -> pa.Array:
    kind, item = field.type, _item(field.type)
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays(
            [_column(parsed, child, f"{name}.{child.name}") for child in kind], fields=list(kind)
        )
    values = pa.array(parsed[name].flat_values.numpy(), pa.binary() if item == pa.string() or _is_json(kind) else None)
    if _is_json(kind):
        return pa.array([orjson.loads(text) for text in values.to_pylist()], kind)
    splits = parsed[name].row_splits.numpy()
    values = values.cast(item)
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(pa.array(splits, pa.int32()), values).cast(kind)
    if len(values) == len(splits) - 1:
        return values  # no nulls, the common case
    given = splits[1:] > splits[:-1]
    return values.take(pc.if_else(pa.array(given), pa.array(splits[:-1]), None))


def _is_json(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)


def _item(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def _dtype(item: pa.DataType) -> tf.DType:
    if pa.types.is_string(item) or pa.types.is_struct(item):
        return tf.string
    return tf.float32 if pa.types.is_floating(item) else tf.int64
