"""A log as pipelines pass it on: a file that may have no suffix, or a folder of files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from banditloop.rl_core.errors import InvalidInput, nearest
from banditloop.rl_core.logs.columns import FIELDS
from banditloop.rl_core.logs.events import LoggedEvents
from banditloop.rl_core.logs.formats import SUFFIXES, LogFiles
from banditloop.rl_core.settings.task import Task

SOURCE = "log"  # prefix of the rows' ids, which are then the same wherever the log is read
MAGIC_BYTES = 64


def artifact_events(
    path: Path, task: Task, columns: Mapping[str, str], reward_name: str = "reward", rewards: Sequence[str] = ()
) -> Iterator[LoggedEvents]:
    """The decisions and rewards of a log of an unknown policy, in batches.

    columns: the log's columns by field or feature, where their names differ. rewards: names of further rewards that the
    log may have. Other columns are ignored.

    Raises:
        InvalidInput: it cannot be read, lacks a feature, or a row is wrong; names file, row and value.
    """
    files = sorted(path.glob("[!._]*")) if path.is_dir() else [path]
    if not files:
        raise InvalidInput(f"log {path}: the folder has no files")
    has_suffix = files[0].suffix.lower() in SUFFIXES
    log = LogFiles(files, task, columns, "" if has_suffix else _format(files[0]), True, rewards)
    reader = log.reader(reward_name, SOURCE, "unknown")
    for batch, log_columns in log.batches():
        if log_columns.absent:
            hint = nearest(
                log_columns.absent[0], [name for name in log_columns.others if name not in FIELDS], "the log"
            )
            raise InvalidInput(
                f"{batch.path}: no column has the feature {log_columns.absent[0]!r}; {hint}: name it in columns"
            )
        yield reader.read(batch, log_columns)


def _format(file: Path) -> str:
    """The format of a file by its content."""
    try:
        with file.open("rb") as content:
            start = content.read(MAGIC_BYTES)
    except OSError as error:
        raise InvalidInput(f"log {file}: {error.strerror}") from None
    return "parquet" if start.startswith(b"PAR1") else "jsonl" if start.lstrip().startswith(b"{") else "csv"
