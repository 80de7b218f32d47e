"""Interactions, or transitions of episodes, in files: tf.train.Examples in TFRecords, or Arrow (arrow_examples.py).

TF-Agents' own example encoding is broken on NumPy 2, so the features are derived here from the types of the Arrow
schema: strings become bytes, timestamps (in microseconds), booleans and integers int64, floating-point numbers float32.
A null has no values. The fields of a struct become features of their own, as context.age; a list of structs becomes
the bytes of its JSON.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.actions_seen import ActionsSeen
from banditloop.rl_core.events.arrow_examples import SUFFIX, arrow_names, read_arrow, write_arrow
from banditloop.rl_core.events.example_columns import from_json, json_column, records
from banditloop.rl_core.events.example_layout import Ragged
from banditloop.rl_core.events.null_lists import check_items, without_null_lists
from banditloop.rl_core.events.parsed_examples import ROWS_PER_BATCH, first_names, parse_examples
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.events.tfrecords import framed
from banditloop.rl_core.events.transitions import transition_schema
from banditloop.rl_core.settings.task import Task

ROWS_PER_FILE = 100_000
BYTES_ENCODED = 8 << 20  # bytes of rows that are encoded at a time, about: this bounds the memory
ORDINAL = "ordinal"  # a feature that transitions have and interactions have not


def write_examples(batches: Iterable[pa.RecordBatch], folder: Path, form: str = "tfrecord") -> int:
    """Write interactions or transitions to files examples-NNNNN.FORM in `folder`, replacing it; returns how many.

    The actions seen in them are written beside the files. form: as examples.format in the config.

    Raises:
        InvalidInput: a list has a null.
    """
    shutil.rmtree(folder, ignore_errors=True)  # files of an earlier attempt
    folder.mkdir(parents=True)
    rows, actions = 0, ActionsSeen()
    for file, parts in groupby(_parts(actions.watch(batches)), lambda numbered: numbered[0]):
        rows += WRITERS[form](folder / f"examples-{file:05d}.{form}", (part for _, part in parts))
    actions.write(folder)
    return rows


def _parts(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows in parts that are written at once, each with the number of its file."""
    rows = 0
    for batch in batches:
        at_once = max(1, BYTES_ENCODED * batch.num_rows // max(1, batch.nbytes))
        while batch.num_rows:
            part = batch.slice(0, min(at_once, ROWS_PER_FILE - rows % ROWS_PER_FILE))
            check_items(part)
            yield rows // ROWS_PER_FILE, without_null_lists(part)
            rows, batch = rows + part.num_rows, batch.slice(part.num_rows)


def _write_records(path: Path, parts: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    with path.open("wb") as file:
        for part in parts:
            file.write(framed(records(*_features(part))))
            rows += part.num_rows
    return rows


def example_actions(folder: Path, task: Task) -> ActionsSeen:
    """The actions seen in a folder's interactions; read from the interactions if not written beside them."""
    actions = ActionsSeen.read(folder)
    if actions is None:
        actions = ActionsSeen()
        for _ in actions.watch(read_examples(example_files(folder), task)):
            pass
    return actions


def example_files(folder: Path) -> list[Path]:
    """Files of examples in a folder, in the order in which they were written."""
    return sorted(file for form in WRITERS for file in folder.glob(f"*.{form}"))


def are_transitions(files: Iterable[Path]) -> bool:
    """Whether the first of the examples in files is a transition, not an interaction."""
    names = (names for file in files if (names := _first_names(file)))
    return ORDINAL in next(names, ())


def _first_names(file: Path) -> Collection[str]:
    """The names of the features of the first example in a file; none if it has no example."""
    return arrow_names(file) if file.suffix == SUFFIX else first_names(file)


def read_examples(files: Iterable[Path], task: Task, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
    """Interactions of a task in files, in tables of up to parsed_examples.ROWS_PER_BATCH rows of one file.

    columns: names of the columns to read; None: all.
    """
    return _read(files, interaction_schema(task), columns)


def read_transitions(files: Iterable[Path], task: Task, metrics: Sequence[str] = ()) -> Iterator[pa.Table]:
    """Transitions in files, in tables as of `read_examples`; an episode may continue in the next table.

    metrics: names of the rewards that were written as metrics.
    """
    for table in _read(files, transition_schema(task, metrics)):
        is_last = pc.or_(table["terminal"], table["truncated"]).combine_chunks()
        context = table["next_context"].combine_chunks()
        next_context = pa.StructArray.from_arrays(context.flatten(), fields=list(context.type), mask=is_last)
        place = table.schema.get_field_index("next_context")
        yield table.set_column(place, table.schema.field(place), next_context)


def _read(files: Iterable[Path], schema: pa.Schema, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
    kinds = {name: _list_kind(kind) for name, kind in _leaves(schema)}
    schema = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    for file in files:
        if file.suffix == SUFFIX:
            yield from read_arrow(file, schema, ROWS_PER_BATCH)
        else:
            for parsed in parse_examples(file, kinds):
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
            yield from _leaf_columns(column.flatten(), field.type)
        else:
            yield column, field.type


def _features(batch: pa.RecordBatch) -> tuple[dict[str, pa.Array], dict[str, str]]:
    """The values of every feature of a batch, and the kind of its list."""
    columns, kinds = dict[str, pa.Array](), {name: _list_kind(kind) for name, kind in _leaves(batch.schema)}
    for name, (column, kind) in zip(kinds, _leaf_columns(batch.columns, batch.schema), strict=True):
        columns[name] = json_column(column) if _is_json(kind) else column
    return columns, kinds


def _column(parsed: dict[str, Ragged], field: pa.Field, name: str) -> pa.Array:
    kind, item = field.type, _item(field.type)
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays(
            [_column(parsed, child, f"{name}.{child.name}") for child in kind], fields=list(kind)
        )
    values, splits = pa.array(parsed[name].values), parsed[name].splits
    if _is_json(kind):
        return from_json(values, kind)
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


def _list_kind(kind: pa.DataType) -> str:
    """The field of a feature that holds values of this type."""
    item = _item(kind)
    if pa.types.is_string(item) or pa.types.is_struct(item):
        return "bytes_list"
    return "float_list" if pa.types.is_floating(item) else "int64_list"


WRITERS = {"tfrecord": _write_records, "arrow": write_arrow}
