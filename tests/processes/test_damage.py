"""What a failing disk damages is found, reported in one line, and stops nothing else."""

import shutil

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import PlatformError
from tests.conftest import decisions, make_config, rewards


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path)


def event_ids(platform):
    window = platform.warehouse.window(None)
    return sorted(id_ for batch in platform.warehouse.interactions(window) for id_ in batch["event_id"].to_pylist())


def log_of_three_appends(config):
    """The folder of the decisions, whose ids are 0 to 29, appended ten at a time, one of them twice."""
    for start in (0, 10, 20):
        append(config, range(start, start + 10))
    append(config, [29])
    return connect(config).warehouse._root / "decisions_v3"


def append(config, numbers):
    ids = [f"{number:02}" for number in numbers]
    connect(config).warehouse.append("decisions", decisions(ids, mode="simulated"))
    connect(config).warehouse.append("rewards", rewards(ids))


IDS = [f"{number:02}" for number in range(30)]


def commit_of(table, version):
    return table / "_delta_log" / f"{version:020d}.json"


@pytest.mark.parametrize(
    ("version", "content"),
    [(2, b""), (3, b"\0" * 800), (3, b'{"commitInfo":{"timest'), (3, b"no JSON\n"), (4, b"")],
)
def test_the_events_of_a_damaged_commit_are_appended_again(config, version, content, caplog):
    table = log_of_three_appends(config)
    read_before = connect(config)
    assert event_ids(read_before) == IDS
    commit_of(table, version).write_bytes(content)
    assert event_ids(read_before) == IDS  # by a process that had read it before, and by a new one
    assert event_ids(connect(config)) == IDS
    [told] = caplog.messages
    count = 0 if version == 4 else 10
    assert told == f"{commit_of(table, version)}: was damaged; {count} events of damaged commits were appended again"
    after = connect(config).warehouse.event_counts()
    assert after.received["decisions"] - after.duplicate["decisions"] == 30
    assert after.duplicate["decisions"] == (0 if version == 4 else 1 + count)  # they were received once more
    append(config, [30])
    assert event_ids(read_before) == [*IDS, "30"]


def test_events_are_appended_again_although_the_first_process_to_try_is_killed(config, monkeypatch):
    table = log_of_three_appends(config)
    commit_of(table, 3).write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr("banditloop.rl_core.backends.local.table_damage.DamageCheck._append_again", killed)
        with pytest.raises(KeyboardInterrupt):
            event_ids(connect(config))
    assert event_ids(connect(config)) == IDS


def killed(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("name", "size"), [("decisions_v3", None), ("decisions_v3", 600), ("rewards", 0)])
def test_the_rows_of_a_damaged_data_file_are_lost_and_all_others_kept(config, name, size, caplog):
    log_of_three_appends(config)
    platform = connect(config)
    counts = platform.warehouse.event_counts()
    table = platform.warehouse._root / name
    path = min(table.glob("*.parquet"), key=lambda path: path.stat().st_mtime)
    path.unlink() if size is None else path.write_bytes(path.read_bytes()[:size])
    for warehouse in platform.warehouse, connect(config).warehouse:
        if name == "rewards":
            assert sum(row["rewarded"] for row in warehouse.policy_totals()) == 20
        else:
            assert warehouse.window(None).interactions == 20
    after = platform.warehouse.event_counts()
    topic = name.removesuffix("_v3")
    assert counts.received[topic] - after.received[topic] == 10
    assert after.duplicate == counts.duplicate
    assert caplog.messages == [f"{path}: is damaged or missing; its 10 rows are lost"]
    append(config, range(30))  # delivered again
    assert event_ids(platform) == IDS


@pytest.mark.parametrize("damage", [lambda log: shutil.rmtree(log), lambda log: [f.unlink() for f in log.iterdir()]])
def test_a_missing_log_stops_the_warehouse_in_one_line_and_nothing_is_written(config, damage):
    table = log_of_three_appends(config)
    damage(table / "_delta_log")
    for call in lambda: append(config, [30]), lambda: event_ids(connect(config)):
        with pytest.raises(PlatformError, match="_delta_log: is missing, but 3 data files are there; restore it"):
            call()
    assert not list(table.glob("_delta_log/*"))


def test_a_log_without_its_first_commit_stops_the_warehouse_in_one_line(config):
    table = log_of_three_appends(config)
    commit_of(table, 0).write_bytes(b"")
    with pytest.raises(PlatformError, match=r"_delta_log: is damaged, restore it: [^\n]*$"):
        event_ids(connect(config))
