"""What a failing disk damages is found, reported in one line, and stops nothing else."""

import contextlib
import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from banditloop.functions.trigger import tick
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.local import event_table
from banditloop.rl_core.backends.local.endpoint import RELEASE_FILES
from banditloop.rl_core.backends.local.table_damage import DamageCheck
from banditloop.rl_core.backends.local.table_files import CHECKPOINT
from banditloop.rl_core.errors import InvalidInput, PlatformError
from banditloop.rl_core.evaluation.log_window import logged_window
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.promotion.current import latest_released
from banditloop.rl_core.promotion.transitions import promote, start_canary
from banditloop.rl_core.reports.release_report import report
from banditloop.rl_core.reports.status import status
from banditloop.rl_core.testing.events import TASK
from tests.conftest import decisions, make_config, rewards
from tests.conftest import make_policy as make_any_policy
from tests.support.command_line import assert_refused, banditloop

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def make_policy(folder, generation, **manifest):
    return make_any_policy(folder, generation, dim=2, actions=2, **manifest)


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path, task=TASK.model_dump(), retraining={"max_interval_seconds": 3e7})


@pytest.fixture
def config_file(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in config.to_dict().items() if k != "environment"}))
    return tmp_path / "config.json"


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


def append_one_by_one(platform, numbers):
    for number in numbers:
        platform.warehouse.append("decisions", decisions([f"{number:02}"], mode="simulated"))


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


def test_a_mend_is_finished_although_a_checkpoint_was_written_over_it(config, monkeypatch):
    """A power failure emptied a commit and lost a data file, whose removal is the commit that writes a checkpoint."""
    append_one_by_one(connect(config), range(8))
    table = connect(config).warehouse._root / "decisions_v3"
    added = map(json.loads, commit_of(table, 7).read_text().splitlines())
    [lost] = [action["add"]["path"] for action in added if "add" in action]
    (table / lost).unlink()
    commit_of(table, 5).write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr(DamageCheck, "_append_again", killed)
        with pytest.raises(KeyboardInterrupt):
            event_ids(connect(config))
    assert list(table.glob(f"_delta_log/*{CHECKPOINT}"))
    assert event_ids(connect(config)) == [f"{number:02}" for number in range(8) if number != 6]


def test_a_commit_that_is_emptied_before_a_checkpoint_is_written_over_it_is_mended(config, monkeypatch):
    append_one_by_one(connect(config), range(8))
    reader, append_events = connect(config), event_table.EventTable.append
    table = reader.warehouse._root / "decisions_v3"

    def append(self, events):
        commit_of(table, 5).write_bytes(b"")
        return append_events(self, events)

    assert event_ids(reader) == IDS[:8]
    with monkeypatch.context() as patch:
        patch.setattr(event_table.EventTable, "append", append)
        append_one_by_one(reader, [8])
    assert list(table.glob(f"_delta_log/*{CHECKPOINT}"))
    assert event_ids(reader) == event_ids(connect(config)) == IDS[:9]


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


@pytest.mark.parametrize("damaged", ["empty", "short", "zeroed"])
def test_before_a_damaged_checkpoint_the_earlier_one_is_read_and_the_commits_since(
    config, damaged, caplog, monkeypatch
):
    monkeypatch.setattr(event_table, "LOG_SECONDS", 0)
    append_one_by_one(connect(config), range(35))
    table, read_before = connect(config).warehouse._root / "decisions_v3", connect(config)
    ids = [f"{number:02}" for number in range(35)]
    assert event_ids(read_before) == ids
    assert not commit_of(table, 0).exists()  # the checkpoints took its place
    *earlier, last = sorted(table.glob(f"_delta_log/*{CHECKPOINT}"))
    assert len(earlier) == 1
    content = last.read_bytes()
    zeroed = content[:4] + bytes(len(content) - 8) + content[-4:]
    last.write_bytes({"empty": b"", "short": content[:600], "zeroed": zeroed}[damaged])
    assert event_ids(read_before) == ids  # by a process that had read it before, and by a new one
    assert event_ids(connect(config)) == ids
    assert caplog.messages == [f"{last}: was damaged; the commits before it are read instead"]
    append_one_by_one(connect(config), range(35, 50))  # beyond the next checkpoint
    assert event_ids(read_before) == [f"{number:02}" for number in range(50)]
    assert len(list(table.glob("_delta_log/*"))) < 40


def test_commits_that_expire_are_no_damage(config, monkeypatch):
    monkeypatch.setattr(event_table, "LOG_SECONDS", 0)
    platform = connect(config)
    append_one_by_one(platform, range(25))
    table, searched, expired = platform.warehouse._root / "decisions_v3", [], 0
    monkeypatch.setattr(DamageCheck, "_mend_all", lambda check: searched.append(check))
    for number in range(25, 45):
        before = {*table.glob("_delta_log/*")}
        append_one_by_one(connect(config), [number])
        expired += not before <= {*table.glob("_delta_log/*")}
        assert len(event_ids(platform)) == number + 1
    assert expired == 2
    assert not searched


def test_a_log_without_its_first_commit_stops_the_warehouse_in_one_line(config):
    table = log_of_three_appends(config)
    commit_of(table, 0).write_bytes(b"")
    with pytest.raises(PlatformError, match=r"_delta_log: is damaged, restore it: [^\n]*$"):
        event_ids(connect(config))


def damage_queue(path, how):
    content = path.read_bytes()
    if how == "emptied":
        path.write_bytes(b"")
    elif how == "no database":
        path.write_bytes(b"\0" * 4096 + content[4096:])
    elif how == "a page":
        path.write_bytes(content[: 5 << 14] + b"\0" * (1 << 14) + content[6 << 14 :])
    else:
        path.write_bytes(content[: 3 << 14])


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("how", ["emptied", "no database", "a page", "truncated"])
@pytest.mark.parametrize("topic", ["decisions", "decisions.dead"])
def test_a_damaged_queue_is_set_aside_and_what_can_be_read_is_delivered(config, how, opened, topic, caplog):
    bus = connect(config).bus
    messages = [f"reason\n{number:05}".encode() + b"x" * 1000 for number in range(300)]
    for message in messages:
        bus.publish(topic, message)
    with contextlib.closing(sqlite3.connect(bus._path(topic))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if not opened:
        bus._queues[topic]._queue.close()
        bus = connect(config).bus
    damage_queue(bus._path(topic), how)
    read = []
    for _ in range(10):  # what fails once is repeated by logger and publisher
        with contextlib.suppress(PlatformError):
            bus.publish(topic, b"reason\nnew")
            break
    while True:
        with contextlib.suppress(PlatformError):
            if not bus.deliver(topic, read.extend):
                break
    assert read[-1] == b"reason\nnew"
    assert set(read[:-1]) <= set(messages)
    if how == "a page":
        assert 200 < len(read) < 300
    assert caplog.messages
    assert all(str(bus._path(topic)) in told for told in caplog.messages)


def test_nothing_is_put_into_a_queue_that_another_process_has_set_aside(config):
    mine, other = connect(config).bus, connect(config).bus
    mine.publish("rewards", b"1")
    with contextlib.closing(sqlite3.connect(mine._path("rewards"))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage_queue(mine._path("rewards"), "no database")
    other.publish("rewards", b"2")
    mine.publish("rewards", b"3")
    read = []
    other.deliver("rewards", read.extend)
    assert read[-2:] == [b"2", b"3"]


DAMAGED_TEXT = [b"", b"\0" * 300, b'{"champion": "v1', b"\xff\xfe"]


def loop_of_three_versions(config, tmp_path):
    """The platform with a champion, a refused version and the newest, a canary, each with a verdict."""
    platform = connect(config)
    manifests = [
        make_policy(tmp_path / f"policy-{generation}", generation, until=YESTERDAY + timedelta(hours=generation))
        for generation in (1, 2, 3)
    ]
    for generation in (1, 2, 3):
        platform.endpoint.add(tmp_path / f"policy-{generation}")
    first, refused, newest = (manifest.version for manifest in manifests)
    promote(platform.endpoint, first, Verdict(version=first, champion="random", decision="promote", by="monitor"))
    platform.endpoint.add_verdict(Verdict(version=refused, champion=first, decision="refuse", by="evaluator"))
    verdict = Verdict(version=newest, champion=first, decision="canary", by="operator")
    start_canary(platform.endpoint, newest, 20, 0.0, verdict)
    return platform, [first, refused, newest]


@pytest.mark.parametrize("content", DAMAGED_TEXT)
def test_a_damaged_newest_manifest_stops_neither_status_nor_trigger_nor_report(config, tmp_path, content, caplog):
    platform, [first, refused, newest] = loop_of_three_versions(config, tmp_path)
    append(config, range(30))
    path = platform.endpoint.policy(newest) / "manifest.json"
    path.write_bytes(content)
    platform = connect(config)
    assert [row["version"] for row in status(config, platform)["versions"]] == [first, refused]
    assert tick(config, platform)[1] == "30 new interactions of 80"
    assert [row["version"] for row in report(config, platform)["versions"]] == [first, refused]
    assert latest_released(platform.endpoint)[0].version == first  # training resumes from what is whole
    [told] = {told for told in caplog.messages if "is left out" in told}
    assert str(path.parent) in told
    assert "\n" not in told
    assert platform.endpoint.add(tmp_path / "policy-3") == newest  # a retried run makes it whole again
    assert [manifest.version for manifest in platform.endpoint.versions()] == [first, refused, newest]


@pytest.mark.parametrize("name", ["encoding.json", "statistics.npz", "weights.npz"])
def test_a_version_with_a_damaged_file_is_not_resumed_from_and_its_interactions_are_left_out(
    config, tmp_path, name, caplog
):
    platform, [first, _, newest] = loop_of_three_versions(config, tmp_path)
    (platform.endpoint.policy(newest) / name).write_bytes(b"")
    assert latest_released(platform.endpoint)[0].version == first
    assert f"{name} does not match its checksum in manifest.json; training does not resume from it" in caplog.text
    for version in first, newest:
        ids = [f"{version}{id_}" for id_ in IDS]
        platform.warehouse.append("decisions", decisions(ids, version, mode="simulated"))
    window = logged_window(platform, config, platform.warehouse.window(None))
    assert (window.table.num_rows, window.unknown_version_rows) == (30, 30)


@pytest.mark.parametrize("content", DAMAGED_TEXT)
def test_a_damaged_release_is_read_from_its_copy(config, tmp_path, content, caplog):
    platform, [first, _, newest] = loop_of_three_versions(config, tmp_path)
    path = platform.endpoint._folder / "release.json"
    path.write_bytes(content)
    for endpoint in platform.endpoint, connect(config).endpoint:
        assert endpoint.release().traffic() == {first: 80, newest: 20}
    assert set(caplog.messages) == {f"{path}: is damaged; its copy is used"}
    promote(platform.endpoint, newest)
    assert Release.model_validate_json(path.read_bytes()).champion == newest


def test_a_release_and_copy_both_damaged_are_named_in_one_line(config, tmp_path, config_file):
    platform, [first, *_] = loop_of_three_versions(config, tmp_path)
    for name in RELEASE_FILES:
        (platform.endpoint._folder / name).write_bytes(b"")
    message = f"{platform.endpoint._folder}: release.json and release.copy.json are damaged; delete them"
    result = banditloop("status", "-c", str(config_file))
    assert_refused(result, message)
    for name in RELEASE_FILES:
        (platform.endpoint._folder / name).unlink()
    assert promote(platform.endpoint, first).champion == first


@pytest.mark.parametrize("content", [b"\0" * 40, b"no verdict", b'{"version": 1}'])
def test_a_damaged_verdict_is_left_out(config, tmp_path, content, caplog):
    platform, versions = loop_of_three_versions(config, tmp_path)
    path = platform.endpoint._folder / "verdicts.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], content, lines[2], b""]))
    endpoint = connect(config).endpoint
    for _ in range(2):
        assert [verdict.version for verdict in endpoint.verdicts(versions[:2])] == versions[:1]
        assert [verdict.version for verdict in endpoint.verdicts()] == [versions[0], versions[2]]
    assert caplog.messages == [f"{path}: line 2 is damaged; its verdict is lost"]
    endpoint.add_verdict(Verdict(version="v9", champion="v1", decision="refuse", by="evaluator"))
    assert [verdict.version for verdict in endpoint.verdicts()] == [versions[0], versions[2], "v9"]


@pytest.mark.parametrize("name", ["outcome.json", "log.txt", "lock", "server.json"])
@pytest.mark.parametrize("content", [*DAMAGED_TEXT, b"[]", None])
def test_damaged_records_of_runs_and_servers_stop_nothing(config, tmp_path, name, content):
    platform, _ = loop_of_three_versions(config, tmp_path)
    folder = platform.runner.root / "retraining-1"
    folder.mkdir(parents=True)
    texts = {"lock": "", "log.txt": "Executing task 'trainer'\n", "outcome.json": '{"state":"succeeded","reason":""}'}
    for file, text in texts.items():
        (folder / file).write_text(text)
    path = platform.endpoint._folder / name if name == "server.json" else folder / name
    path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
    runs = [(run["run_id"], run["state"]) for run in status(config, platform)["runs"]]
    if (name, content) == ("lock", None):
        assert runs in ([], [("retraining-1", "succeeded")])
    else:
        assert runs == [("retraining-1", "failed" if name == "outcome.json" else "succeeded")]
    if name == "outcome.json" and content is not None:
        assert "outcome.json is damaged" in platform.runner.explain("retraining-1")
    with pytest.raises(InvalidInput, match="nothing serves it"):
        platform.endpoint.url()
