"""Tables in files that may change: read again only when they have."""

import io
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from pyarrow.fs import FileSystem, FileType, LocalFileSystem

from banditloop.rl_core.errors import InvalidInput, nearest
from banditloop.rl_core.settings.task import ActionTable


def _read_csv(file: pa.NativeFile) -> pa.Table:
    """A CSV file. A column with integers in an unusual form, such as 007, is read as texts: they may be ids."""
    content = file.read()
    table = pyarrow.csv.read_csv(io.BytesIO(content))
    for place, field in enumerate(table.schema):
        if pa.types.is_integer(field.type) and table.column_names.count(field.name) == 1:
            as_written = pyarrow.csv.ConvertOptions(
                include_columns=[field.name], column_types={field.name: pa.string()}
            )
            texts = pyarrow.csv.read_csv(io.BytesIO(content), convert_options=as_written)[field.name]
            is_usual = pc.or_kleene(
                pc.equal(texts, table[field.name].cast(pa.string())), pc.invert(table[field.name].is_valid())
            )
            if not pc.all(is_usual).as_py():
                table = table.set_column(place, field.name, texts)
    return table


READERS = {
    ".parquet": pyarrow.parquet.read_table,
    ".csv": _read_csv,
    ".jsonl": pyarrow.json.read_json,
    ".json": pyarrow.json.read_json,
}


class TableFile:
    """Reads Parquet, CSV and JSON lines files by path or URI, such as gs://bucket/articles.parquet."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[datetime | None, int]] = {}

    def read(self, name: str) -> pa.Table | None:
        """The content of a file; None if its time and size are those of the last call.

        Raises:
            InvalidInput: there is no such file, or it is not in a format that is known.
        """
        reader = READERS.get(Path(name).suffix)
        if reader is None:
            raise InvalidInput(f"table {name!r}: is not a file of: {', '.join(READERS)}")
        try:
            file_system, path = locate(name)
            info = file_system.get_file_info(path)
            if info.type != FileType.File:
                raise InvalidInput(f"table {name!r}: there is no such file")
            state = info.mtime, info.size
            if self._seen.get(name) == state:
                return None
            with file_system.open_input_file(path) as file:
                content = reader(file)
        except (OSError, pa.ArrowException) as error:
            raise InvalidInput(f"table {name!r}: {error}") from None
        self._seen[name] = state
        return content


def action_ids(content: pa.Table, table: ActionTable) -> pa.Array:
    """The column of the actions' ids in a table of actions; null where a row has none, as an empty text in CSV.

    Raises:
        InvalidInput: there is no such column.
    """
    if table.id not in content.column_names:
        hint = nearest(table.id, content.column_names, "the table")
        raise InvalidInput(f"task.actions.table = {table.table!r}: has no column {table.id!r}; {hint}")
    ids = content[table.id]
    return pa.array([None if value == "" else value for value in ids.to_pylist()], ids.type)


def locate(name: str) -> tuple[FileSystem, str]:
    """The file system of a path or of a URI such as gs://bucket/folder, and the path in it."""
    if "://" in name:
        return FileSystem.from_uri(name)
    return LocalFileSystem(), str(Path(name).expanduser())
