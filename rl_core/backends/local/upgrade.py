"""The upgrade of a local warehouse of schema version 2: a copy of its decisions, which is then renamed into place."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from filelock import FileLock

from banditloop.rl_core.backends.local.event_table import LOG_SETTINGS, EventTable
from banditloop.rl_core.backends.local.table_snapshot import received, received_commit, snapshot
from banditloop.rl_core.backends.older_schema import OLD_DECISIONS, upgraded_feature
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.events.schema import LOGGED_AT, STORED_TABLES
from banditloop.rl_core.settings.task import Task

DECISIONS = STORED_TABLES["decisions"]


def is_upgraded(root: Path) -> bool:
    """Whether no decisions of schema version 2 wait to be upgraded."""
    return (root / DECISIONS).exists() or not (root / OLD_DECISIONS).exists()


def upgrade(root: Path, task: Task) -> int:
    """Copy the decisions of version 2; returns their number, 0 if another process has copied them.

    They keep their logged_at, and the count of received events. A process that dies leaves a folder that the next
    attempt replaces.

    Raises:
        InvalidInput: the task has other features, or actions with names.
    """
    feature, table = upgraded_feature(task), EventTable(root, "decisions", task)
    with FileLock(root / f"{OLD_DECISIONS}.lock"), table.lock():
        if is_upgraded(root):
            return 0
        old, folder = DeltaTable(root / OLD_DECISIONS), root / f"{DECISIONS}.upgrading"
        shutil.rmtree(folder, ignore_errors=True)
        new = DeltaTable.create(folder, table.schema, configuration=LOG_SETTINGS)
        rows = pa.RecordBatchReader.from_batches(table.schema, _batches(old, task, feature))
        write_deltalake(new, rows, mode="append", commit_properties=received_commit(received(old)))
        copied = pa.table(DeltaTable(folder).get_add_actions())["num_records"].to_pylist()
        folder.rename(root / DECISIONS)
        return sum(copied)


def _batches(old: DeltaTable, task: Task, feature: str) -> Iterator[pa.RecordBatch]:
    for file in sorted(snapshot(old).files, key=lambda file: file.earliest):
        for batch in pq.ParquetFile(file.path).iter_batches():
            yield from _upgraded(batch, task, feature).to_batches()


def _upgraded(old: pa.RecordBatch, task: Task, feature: str) -> pa.Table:
    """The decisions of a batch of version 2 or 1, which had no pass_probability."""
    probability = old["pass_probability"].fill_null(1.0) if "pass_probability" in old.schema.names else 1.0
    table = decision_table(
        task,
        event_id=old["event_id"],
        timestamp=old["timestamp"],
        policy_version=old["policy_version"],
        context=pa.StructArray.from_arrays([old["observation"]], names=[feature]).cast(task.context_type),
        action=old["action"].cast(pa.string()),
        propensity=old["propensity"],
        probabilities=old["probabilities"],
        mode=pc.replace_substring_regex(old["mode"], "^logged$", "external"),
        logging_probability=probability,
    )
    return table.append_column(LOGGED_AT, old["logged_at"])
