"""The log of a small loop as schema version 2 wrote it, and what is expected of it after its upgrade."""

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, write_deltalake
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from banditloop.rl_core.backends.google.tables import column
from banditloop.rl_core.events.schema import LOGGED_AT, REWARD, TIME
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.task import Task
from tests.conftest import START

TASK = Task.parse({"actions": 3, "reward_range": [0.0, 5.0], "context": {"observation": {"vector": 4}}}, "task")
DECISION = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in {
            "event_id": pa.string(),
            "timestamp": TIME,
            "policy_version": pa.string(),
            "observation": pa.list_(pa.float32()),
            "action": pa.int32(),
            "propensity": pa.float64(),
            "probabilities": pa.list_(pa.float64()),
            "mode": pa.string(),
        }.items()
    ]
)
PASS_PROBABILITY = pa.field("pass_probability", pa.float64())  # version 2 added it: null in older rows
MODES = ("simulated", "online", "logged", "shadow")
KEPT = "event_id", "timestamp", "policy_version", "propensity", "probabilities"
BATCHES, ROWS, DUPLICATES = 4, 50, 7  # the first batch is one of version 1, without pass_probability
LOGGED = [START + timedelta(hours=number) for number in range(BATCHES)]


def decision_batches() -> list[pa.Table]:
    """The decisions, one table per append, with their logged_at."""
    return [_decisions(number) for number in range(BATCHES)]


def rewards() -> pa.Table:
    """The rewards of every second decision, with their logged_at: when the last batch was logged.

    They have no received_at, which came later and needs no upgrade.
    """
    ids = [f"{number}-{row}" for number in range(BATCHES) for row in range(0, ROWS, 2)]
    times = [_time(*map(int, event_id.split("-"))) for event_id in ids]
    values = np.random.default_rng(1).uniform(0, 5, len(ids))
    columns = [ids, ["reward"] * len(ids), values, times, [""] * len(ids)]
    schema = REWARD.remove(REWARD.get_field_index("received_at"))
    table = pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema)
    return table.append_column(LOGGED_AT, pa.array([LOGGED[-1]] * len(ids), TIME))


def write_local(root: Path) -> None:
    """Write the log as a local warehouse."""
    for number, batch in enumerate(decision_batches(), 1):
        commit = CommitProperties(custom_metadata={"received": str(number * (ROWS + DUPLICATES))})
        write_deltalake(root / "decisions", batch, mode="append", schema_mode="merge", commit_properties=commit)
    write_deltalake(root / "rewards", rewards())


def write_bigquery(backend: GoogleBackend) -> None:
    """Write the log as a BigQuery dataset."""
    client = bigquery.Client(backend.project, AnonymousCredentials(), location=backend.location)
    client.create_dataset(f"{backend.project}.{backend.dataset}")
    for name, events in (
        ("decisions", pa.concat_tables(decision_batches(), promote_options="default")),
        ("rewards", rewards()),
    ):
        file, options = io.BytesIO(), bigquery.format_options.ParquetOptions()
        pq.write_table(events, file)
        file.seek(0)
        options.enable_list_inference = True
        table = bigquery.Table(
            f"{backend.project}.{backend.dataset}.{name}", [column(field) for field in events.schema]
        )
        table.time_partitioning = bigquery.TimePartitioning(field="logged_at")
        table.clustering_fields = ["event_id"]
        client.create_table(table)
        config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
        config.parquet_options = options
        client.load_table_from_file(file, table, job_config=config).result()
    received = {"decisions": BATCHES * (ROWS + DUPLICATES), "rewards": rewards().num_rows}
    rows = [
        f"SELECT '{name}' AS name, {count} AS received, TIMESTAMP '{LOGGED[-1]}' AS logged_at"
        for name, count in received.items()
    ]
    client.query(f"CREATE TABLE `{backend.dataset}`.log AS {' UNION ALL '.join(rows)}").result()


def expected_interactions() -> list[dict[str, Any]]:
    """The interactions after the upgrade, by id: those that were there before, in the words of this version."""
    earned = dict(zip(*(rewards()[name].to_pylist() for name in ("event_id", "value")), strict=True))
    rows = []
    for batch in decision_batches():
        for old in batch.drop_columns("logged_at").to_pylist():
            if old["mode"] == "shadow":
                continue
            new = {name: old[name] for name in KEPT}
            new |= {"context": {"observation": old["observation"]}, "action": str(old["action"])}
            new |= {"candidates": [], "candidate_features": []}
            new |= {"mode": "external" if old["mode"] == "logged" else old["mode"]}
            new |= {"logging_probability": old.get("pass_probability") or 1.0}
            rows.append(new | {"reward": earned.get(old["event_id"], 0.0)})
    return sorted(rows, key=lambda row: row["event_id"])


def _decisions(number: int) -> pa.Table:
    random = np.random.default_rng(number)
    probabilities = random.dirichlet(np.ones(3), ROWS)
    actions = [int(random.choice(3, p=row)) for row in probabilities]
    columns = {
        "event_id": [f"{number}-{row}" for row in range(ROWS)],
        "timestamp": [_time(number, row) for row in range(ROWS)],
        "policy_version": [f"v{number}-00000000"] * ROWS,
        "observation": random.normal(size=(ROWS, 4)).astype(np.float32).tolist(),
        "action": actions,
        "propensity": probabilities[np.arange(ROWS), actions],
        "probabilities": probabilities.tolist(),
        "mode": [MODES[row % len(MODES)] for row in range(ROWS)],
    }
    table = pa.table(columns, DECISION)
    if number:
        weights = [None if row % 5 == 0 else 0.5 for row in range(ROWS)]
        table = table.append_column(PASS_PROBABILITY, pa.array(weights, pa.float64()))
    return table.append_column(LOGGED_AT, pa.array([LOGGED[number]] * ROWS, TIME))


def _time(number: int, row: int) -> Any:
    return LOGGED[number] - timedelta(seconds=ROWS - row)
