"""Looks at the local log: what is added up while it grows equals what a look that begins anew adds up."""

import shutil
import time
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.local import complete_window, event_table, looks
from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.kept_sums import SumsFile
from banditloop.rl_core.backends.local.log_sums import LogSums
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.settings.loop import ACTIVATION
from banditloop.rl_core.testing.events import TASK, decisions, rewards
from tests.conftest import make_config

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
IDS = np.array([f"event {number}" for number in range(20)])
MODES = ["online", "online", "external", "simulated", "shadow", "deferred"]


class Clock:
    """The clock that stamps appends: it moves on by itself, and can be ahead."""

    def __init__(self, monkeypatch):
        self.now, self.ahead = datetime.now(UTC) - 60 * DAY, timedelta(0)
        monkeypatch.setattr(time, "time_ns", lambda: int((self.now + self.ahead).timestamp() * 1e9))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def totals_and_counts(warehouse):
    totals = warehouse.policy_totals()
    means = [row.pop("mean_reward") for row in totals]
    return totals, [None if mean is None else pytest.approx(mean, abs=1e-9) for mean in means], warehouse.event_counts()


def assert_same_as_anew(config, *warehouses):
    """Assert that looks which go on from what was kept equal one that begins anew, with none of it."""
    kept = config_root(config) / "warehouse" / "sums"
    aside = kept.with_name("aside")
    kept.mkdir(exist_ok=True, parents=True)
    seen = [totals_and_counts(warehouse) for warehouse in warehouses]
    kept.rename(aside)
    anew = totals_and_counts(connect(config).warehouse)
    shutil.rmtree(kept, ignore_errors=True)  # what this one has kept
    aside.rename(kept)
    assert seen == [anew] * len(seen)


def config_root(config):
    return connect(config).runner.root.parent


def append_at_random(random, warehouse, clock):
    """Append a few events: of ids known and new, in any order, on time, late, early, under any name, twice."""
    clock.now += float(random.choice([0.001, 0.2, 2.0, 30.0])) * HOUR
    at = clock.now + float(random.choice([-60 * 24, -26, -2, -0.5, 0, 0, 0, 0.5])) * HOUR
    ids = list(random.choice(IDS, int(random.integers(1, 6))))
    if random.random() < 0.5:
        version, mode = str(random.choice(["v1", "v2", "v3"])), str(random.choice(MODES))
        probability = float(random.choice([1.0, 0.5]))
        warehouse.append("decisions", decisions(ids, version, mode=mode, at=at, logging_probability=probability))
    else:
        name, source = str(random.choice(["reward", "reward", "click", ACTIVATION])), str(random.choice(["", "a"]))
        received_at = [None, clock.now - 0.5 * HOUR, clock.now - 3 * HOUR][int(random.integers(3))]
        value = float(random.integers(6))
        warehouse.append("rewards", rewards(ids, value, at=at, name=name, source_id=source, received_at=received_at))


@pytest.mark.parametrize(
    ("seed", "aggregation", "default"), [(0, "first", 0.0), (1, "last", "ignore"), (2, "sum", 1.0)]
)
def test_what_is_added_up_while_the_log_grows_equals_a_look_that_begins_anew(
    tmp_path, monkeypatch, clock, seed, aggregation, default
):
    """Through compaction, rows that were logged while the clock was ahead, and their repair."""
    monkeypatch.setattr(event_table, "MAX_SMALL_FILES", 6)
    monkeypatch.setattr(looks, "MAX_ROWS_BEHIND", 8)
    reward = {"attribution_window_seconds": 3600.0, "aggregation": aggregation, "default": default}
    config, random = make_config(tmp_path, task=TASK.model_dump(), reward=reward), np.random.default_rng(seed)
    watching, logger = connect(config).warehouse, connect(config).warehouse
    for number in range(10):
        for _ in range(int(random.integers(1, 5))):
            append_at_random(random, logger, clock)
        if number == 5:
            clock.ahead = 400 * DAY
            append_at_random(random, logger, clock)
            clock.ahead = timedelta(0)
        if number == 8:
            logger.repair()
        assert_same_as_anew(config, watching, connect(config).warehouse)


@pytest.fixture
def looked_at(tmp_path, clock):
    """A config whose log was looked at, and then got more rows."""
    config = make_config(tmp_path, task=TASK.model_dump())
    warehouse = connect(config).warehouse
    for number in range(3):
        ids = [f"{number}-{row}" for row in range(500)]
        warehouse.append("decisions", decisions(ids, at=clock.now))
        warehouse.append("rewards", rewards(ids[100 * number :], at=clock.now))
    warehouse.event_counts()
    warehouse.append("rewards", rewards(["0-0", "2-0", "unknown"], at=clock.now))
    return config


def test_looks_at_few_new_rows_run_on_one_core_and_reads_of_the_log_on_all(looked_at):
    threads, log = "SELECT current_setting('threads')", connect(looked_at).warehouse._log
    looks.Looks(log).look()
    assert log.database.execute(threads).fetchall() == [(1,)]
    with log.connection(log.snapshots()["decisions"].files) as connection:
        assert connection.execute(threads).fetchall() == duckdb.sql(threads).fetchall()


def test_a_look_of_another_process_goes_on_from_the_file_unless_it_is_damaged(looked_at):
    [path] = (config_root(looked_at) / "warehouse" / "sums").glob("*.sums")
    right = connect(looked_at).warehouse.event_counts()
    assert (right.shown, right.joined, right.dangling) == (1500, 1201, 1)
    file = SumsFile(path.parent, [])
    file._path, wrong = path, dict.fromkeys(["shown", "joined"], 10_000)
    kept = file.read()
    file.write(kept._replace(sums=kept.sums.plus(LogSums(outcomes=wrong))))
    seen = connect(looked_at).warehouse.event_counts()
    assert (seen.shown, seen.joined, seen.dangling) == (11_500, 11_201, 1)
    path.write_bytes(path.read_bytes().replace(b"11500", b"11501"))
    assert connect(looked_at).warehouse.event_counts() == right


def test_rows_that_the_disk_has_lost_are_taken_out(looked_at):
    watching = connect(looked_at).warehouse
    assert watching.event_counts().shown == 1500
    first = min(
        (config_root(looked_at) / "warehouse" / "decisions_v3").glob("*.parquet"), key=lambda path: path.stat().st_mtime
    )
    first.write_bytes(first.read_bytes()[:-100])
    assert_same_as_anew(looked_at, watching, connect(looked_at).warehouse)
    assert watching.event_counts().shown == 1000


def test_a_file_damaged_inside_is_told_in_one_line_and_set_aside_by_repair(looked_at, caplog):
    watching, folder = connect(looked_at).warehouse, config_root(looked_at) / "warehouse" / "rewards"
    first = min(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime)
    content = bytearray(first.read_bytes())
    content[200:1200] = bytes(1000)
    first.write_bytes(content)
    shutil.rmtree(folder.with_name("sums"))
    with pytest.raises(PlatformError, match=rf"^{first}: is damaged inside; `banditloop repair` sets it aside.*$"):
        connect(looked_at).warehouse.event_counts()
    with pytest.raises(PlatformError, match=rf"^{first}: is damaged inside; `banditloop repair` sets it aside.*$"):
        connect(looked_at).warehouse.append("rewards", rewards(["0-0"], at=datetime.now(UTC) - 60 * DAY))
    assert watching.repair() == 0
    assert f"{first}: is damaged or missing; its 500 rows are lost" in caplog.text
    assert first.with_suffix(".damaged").exists()
    assert watching.event_counts() == connect(looked_at).warehouse.event_counts()
    assert watching.event_counts().joined == 700 + 1
    assert_same_as_anew(looked_at, watching)


@pytest.mark.parametrize(("seed", "aggregation"), [(0, "first"), (1, "first"), (2, "max")])
def test_a_window_ends_before_the_first_open_decision_in_whichever_file_it_is(
    tmp_path, monkeypatch, clock, seed, aggregation
):
    """Compared with one query over all decisions and rewards."""
    monkeypatch.setattr(event_table, "MAX_SMALL_FILES", 6)
    monkeypatch.setattr(complete_window, "OPEN_ROWS", 6)
    reward = {"attribution_window_seconds": 3600.0, "aggregation": aggregation}
    config, random = make_config(tmp_path, task=TASK.model_dump(), reward=reward), np.random.default_rng(seed)
    warehouse, start = connect(config).warehouse, datetime.now(UTC) - 2.5 * HOUR
    clock.now = start
    for _ in range(25):
        clock.now += 0.1 * HOUR
        ids = list(random.choice(IDS, int(random.integers(1, 4)), replace=False))
        if random.random() < 0.5:
            warehouse.append("decisions", decisions(ids, mode=str(random.choice(MODES)), at=clock.now))
        else:
            name = str(random.choice(["reward", "reward", ACTIVATION, "click"]))
            warehouse.append("rewards", rewards(ids, at=clock.now, name=name))
    for since in (None, start + HOUR, start + 1.6 * HOUR, start + 2 * HOUR):
        window = warehouse.window(since)
        assert (window.until, window.interactions) == window_by_one_query(warehouse._log, since or EPOCH)


def window_by_one_query(log, since):
    settled = "AND number NOT IN (SELECT number FROM rewarded)" if log.reward.aggregation == "first" else ""
    with log.connection(log.snapshots()["decisions"].files) as connection:
        first = f"""WITH {log.rewarded} SELECT min(logged_at) FROM eligible WHERE mode <> 'simulated'
            AND logged_at > $since AND logged_at > $open_since {settled}"""
        parameters = {"since": since, "open_since": datetime.now(UTC) - HOUR} | log.reward_parameters()
        [(still_open,)] = connection.execute(first, parameters).fetchall()
        counted = "SELECT max(logged_at), count(*) FROM decisions WHERE logged_at > $since AND logged_at < $until"
        parameters = {"since": since, "until": still_open or datetime.now(UTC)}
        [(until, interactions)] = connection.execute(counted, parameters).fetchall()
    return until or since, interactions
