"""The files of a Delta Lake table that are checked for damage: data files, commits and the log's last checkpoint.

An earlier checkpoint is read only where the last one is damaged, and is checked then.
"""

import os
from pathlib import Path

Files = dict[str, tuple[int, ...]]  # by path, each with its identity: inode, size and time
CHECKPOINT = ".checkpoint.parquet"  # ends the names of checkpoints, which begin with their version as commits do


def table_files(table: Path) -> Files:
    """The files of a table that are checked, as they are now."""
    logged = _identities(table / "_delta_log", (".json", CHECKPOINT))
    last = _last_checkpoint(logged)
    checked = {path: identity for path, identity in logged.items() if path.endswith(".json") or path == last}
    return checked | _identities(table, (".parquet",))


def lost_files(known: Files, files: Files) -> list[str]:
    """The known files that are gone, except those of the log from before its last checkpoint."""
    last = _last_checkpoint(files)
    gone = known.keys() - files.keys()
    return [path for path in gone if path >= last or Path(path).parent != Path(last).parent]


def _last_checkpoint(files: Files) -> str:
    """The log's last checkpoint; an empty text if there is none."""
    return max((path for path in files if path.endswith(CHECKPOINT)), default="")


def _identities(folder: Path, endings: tuple[str, ...]) -> Files:
    """The files of a folder whose names have one of these endings, with their identities."""
    if not folder.exists():
        return {}
    identities: Files = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(endings):
                try:
                    status = entry.stat()
                except FileNotFoundError:  # it was removed meanwhile
                    continue
                identities[entry.path] = status.st_ino, status.st_size, status.st_mtime_ns
    return identities
