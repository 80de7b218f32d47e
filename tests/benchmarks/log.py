"""The log under load: events through bus, logger and warehouse; ten million interactions read back."""

import itertools
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.local.event_table import LOG_SETTINGS
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.events.schema import LOGGED_AT, REWARD, STORED_TABLES, TIME
from banditloop.rl_core.ports import Warehouse
from banditloop.rl_core.settings.task import Task
from tests.benchmarks.ratio import Row, at_least, at_most, seconds
from tests.conftest import make_config
from tests.support.processes import process, wait_until

EVENTS, MESSAGE, REPEATED = 100_000, 200, 10  # decisions and as many rewards; every tenth message is published twice
ROWS, FILE_ROWS, WIDTH, REWARDED = 10_000_000, 500_000, 20, 0.9
REPEATS, APPENDS, GIGABYTE = 3, 20, 1 << 20  # ru_maxrss counts kilobytes
ID_MULTIPLIER = 0x9E3779B97F4A7C15F39CC0605CEDC835
TASK = Task.parse({"actions": WIDTH, "context": {"observation": {"vector": WIDTH}}}, "task")
START = datetime(2026, 1, 1, tzinfo=UTC)
START_MICROSECONDS = int(START.timestamp()) * 1_000_000


def rows() -> list[Row]:
    logged = [2 * EVENTS / _log() for _ in range(REPEATS)]
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(Path(folder), task=TASK.model_dump(), reward={"attribution_window_seconds": 10.0})
        store(connect(config).warehouse._root)
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            read = [pool.apply(_read, (config,)) for _ in range(REPEATS)]
        appended = _append_ratios(Path(folder))
    return [
        at_least("log: bus, logger, warehouse", logged, "events/s", 20_000),
        at_least("log: ten million interactions read", [ROWS / duration for duration, _ in read], "rows/s", 1_000_000),
        at_most("log: an append, ten million keys known, by one to an empty log", appended, "times as long", 2.0),
        at_most("log: memory of the reader", [memory for _, memory in read], "GB", 2.0),
    ]


def _log() -> float:
    """Seconds until every published event is in the tables once."""
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(Path(folder), task=TASK.model_dump())
        messages = [
            (topic, encode(make(start, MESSAGE)))
            for start in range(0, EVENTS, MESSAGE)
            for topic, make in (("decisions", decisions), ("rewards", rewards))
        ]
        warehouse, context = connect(config).warehouse, get_context("spawn")
        start = context.Event()
        publisher = context.Process(target=_publish, args=(config, messages, start))
        publisher.start()
        with process(config, "-m", "banditloop.functions.logger"):
            time.sleep(3)  # until both processes have started
            duration = seconds(lambda: (start.set(), wait_until(lambda: _rows(warehouse._root) >= 2 * EVENTS, 120)))
            publisher.join()
        [totals] = warehouse.policy_totals()
    assert totals["interactions"] == totals["rewarded"] == EVENTS
    return duration


def _publish(config: Config, messages: list[tuple[str, bytes]], start: Event) -> None:
    bus = connect(config).bus
    start.wait()
    for number, (topic, payload) in enumerate(messages):
        for _ in range(2 if number % REPEATED == 0 else 1):
            bus.publish(topic, payload)


def _rows(root: Path) -> int:
    """Number of rows according to the Delta log's statistics, which costs the logger no processor time."""
    tables = [
        DeltaTable(root / table) for table in STORED_TABLES.values() if DeltaTable.is_deltatable(str(root / table))
    ]
    return sum(sum(pa.table(table.get_add_actions())["num_records"].to_pylist()) for table in tables)


def _read(config: Config) -> tuple[float, float]:
    """Seconds and gigabytes that a new process takes to read everything."""
    warehouse = connect(config).warehouse
    window, counts = warehouse.window(None), []
    duration = seconds(lambda: counts.append(sum(batch.num_rows for batch in warehouse.interactions(window))))
    assert counts == [ROWS]
    return duration, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIGABYTE


def _append_ratios(folder: Path) -> list[float]:
    """How many times as long an append takes where the stored log's keys are known, for a year, as where none are."""
    reward, number = {"attribution_window_seconds": 365.0 * 86_400}, itertools.count(ROWS, MESSAGE)
    full, empty = (
        connect(make_config(root, task=TASK.model_dump(), reward=reward)).warehouse for root in (folder, folder / "new")
    )

    def append(warehouse: Warehouse) -> float:
        batches = [decisions(next(number), MESSAGE) for _ in range(APPENDS)]
        return seconds(lambda: [warehouse.append("decisions", batch) for batch in batches])

    append(full), append(empty)  # the first append hashes the keys of the stored files
    return [append(full) / append(empty) for _ in range(REPEATS)]


def store(root: Path, versions: int = 1) -> None:
    """Ten million interactions of some versions, in files as appends and compaction leave them."""
    for start in range(0, ROWS, FILE_ROWS):
        for table in STORED_TABLES:
            events = rewards(start, FILE_ROWS) if table == "rewards" else decisions(start, FILE_ROWS, versions)
            if table == "rewards":
                events = events.slice(0, int(REWARDED * FILE_ROWS))
            logged_at = pa.array([START + timedelta(days=1, seconds=start)] * events.num_rows, TIME)
            rows = events.append_column(LOGGED_AT, logged_at)
            write_deltalake(root / STORED_TABLES[table], rows, mode="append", configuration=LOG_SETTINGS)


def decisions(start: int, count: int, versions: int = 1) -> pa.Table:
    """Decisions by their numbers, of versions that took turns while ten million were logged."""
    random = np.random.default_rng(start)
    probabilities = random.dirichlet(np.ones(WIDTH), count)
    observations = pa.StructArray.from_arrays(
        [_lists(random.normal(size=(count, WIDTH)).astype(np.float32))], fields=list(TASK.context_type)
    )
    return decision_table(
        TASK,
        event_id=_event_ids(start, count),
        timestamp=_times(start, count),
        policy_version=version_names(np.arange(start, start + count) * versions // ROWS),
        context=observations,
        action="0",
        propensity=probabilities[:, 0].clip(1e-9),
        probabilities=_lists(probabilities),
    )


def version_names(numbers: np.ndarray) -> pa.Array:
    """The names of versions by their numbers."""
    return pa.array([f"v{number + 1}-00000000" for number in numbers.tolist()])


def rewards(start: int, count: int) -> pa.Table:
    """Rewards of the decisions of these numbers."""
    values = np.random.default_rng(start).random(count)
    names, sources = pa.array(["reward"] * count), pa.array([""] * count)
    columns = [_event_ids(start, count), names, values, _times(start, count), sources, pa.nulls(count, TIME)]
    return pa.table(columns, REWARD)


def _event_ids(start: int, count: int) -> pa.Array:
    """Ids of 32 hexadecimal digits, unordered."""
    return pa.array([f"{number * ID_MULTIPLIER % 2**128:032x}" for number in range(start, start + count)])


def _times(start: int, count: int) -> pa.Array:
    """Timestamps such that ten million span a day."""
    return pa.array(START_MICROSECONDS + np.arange(start, start + count) * 8_640).cast(TIME)


def _lists(values: np.ndarray) -> pa.Array:
    offsets = pa.array(np.arange(0, values.size + 1, WIDTH, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()))
