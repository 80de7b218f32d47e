"""A warehouse of schema version 2 is refused on every backend until it is upgraded; then it reads as before."""

import os
import signal
from multiprocessing import get_context

import pyarrow as pa
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.local import upgrade as local_upgrade
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.testing.events import decisions, rewards
from banditloop.rl_core.testing.planted import assert_same
from banditloop.rl_core.training.train import initial_statistics, train
from tests.ports.conftest import local
from tests.support import version_2
from tests.support.version_2 import BATCHES, DUPLICATES, LOGGED, ROWS, TASK

SECTIONS = {"task": TASK.model_dump(), "reward": {"attribution_window_seconds": 86_400.0}}


@pytest.fixture
def config(configure):
    """A config of the backend, which holds the log of version 2."""
    config = configure(**SECTIONS)
    _write(config)
    return config


def _write(config):
    if config.backend.name == "google":
        version_2.write_bigquery(config.backend)
    else:
        version_2.write_local(connect(config).warehouse._root)


def read(warehouse, window):
    return pa.Table.from_batches(warehouse.interactions(window), interaction_schema(TASK)).sort_by("event_id")


def test_nothing_is_read_or_written_before_the_upgrade(config):
    warehouse = connect(config).warehouse
    uses = [
        lambda: warehouse.append("rewards", version_2.rewards().drop_columns("logged_at")),
        lambda: warehouse.window(None),
        lambda: list(warehouse.interactions(Window(until=LOGGED[-1], interactions=1))),
        warehouse.policy_totals,
        warehouse.event_counts,
    ]
    for use in uses:
        with pytest.raises(InvalidInput, match=r"holds decisions of schema version 2; .* run `banditloop upgrade`"):
            use()
    assert warehouse.upgrade() == BATCHES * ROWS
    assert warehouse.event_counts().received["rewards"] == version_2.rewards().num_rows


def test_the_upgraded_log_has_the_same_interactions_windows_and_counts(config):
    warehouse = connect(config).warehouse
    assert [warehouse.upgrade(), warehouse.upgrade()] == [BATCHES * ROWS, 0]
    window = warehouse.window(None)
    assert window.until == LOGGED[-1]
    rows, expected = read(warehouse, window).to_pylist(), version_2.expected_interactions()
    assert [row | old for row, old in zip(rows, expected, strict=True)] == rows
    counts = warehouse.event_counts()
    assert counts.received["decisions"] == BATCHES * (ROWS + DUPLICATES)
    assert counts.duplicate["decisions"] == BATCHES * DUPLICATES
    since = None
    for number, until in enumerate(LOGGED):  # the watermarks of policies trained before the upgrade still hold
        ids = read(warehouse, Window(since=since, until=until, interactions=ROWS))["event_id"].to_pylist()
        assert {event_id.partition("-")[0] for event_id in ids} == {str(number)}
        since = until


def test_the_upgraded_log_trains_the_same_statistics(config):
    warehouse, encoding = connect(config).warehouse, Encoding.of_vectors(4, 3)
    warehouse.upgrade()
    logged = read(warehouse, warehouse.window(None))
    before = pa.Table.from_pylist(version_2.expected_interactions(), interaction_schema(TASK))
    initial = initial_statistics(config, encoding, None)
    trained, expected = (train(config, encoding, [table], initial) for table in (logged, before))
    assert_same(trained, expected)
    assert any(array.any() for array in trained.values())


def test_the_upgraded_log_is_appended_to_and_knows_its_events(config):
    warehouse = connect(config).warehouse
    warehouse.upgrade()
    context = {"observation": [0.0] * 4}
    events = decisions(["0-0", "new"], at=LOGGED[0], task=TASK, context=context, mode="simulated")
    assert warehouse.append("rewards", rewards(["0-0", "new"], at=LOGGED[0], received_at=LOGGED[0])) == 1
    assert warehouse.append("decisions", events) == 1
    window = warehouse.window(LOGGED[-1])
    assert read(warehouse, window)["reward"].to_pylist() == [1.0]
    counts = warehouse.event_counts()
    assert counts.received["rewards"] == counts.joined + counts.duplicate["rewards"]


@pytest.mark.slow
def test_concurrent_upgrades_copy_every_decision_once(config):
    with get_context("spawn").Pool(3) as pool:
        copied = pool.map(_upgrade, [config] * 3)
    assert set(copied) <= {0, BATCHES * ROWS}
    warehouse = connect(config).warehouse
    assert warehouse.event_counts().duplicate["decisions"] == BATCHES * DUPLICATES


def _upgrade(config):
    return connect(config).warehouse.upgrade()


def test_an_upgrade_that_is_killed_starts_again(tmp_path):
    config = local(tmp_path, **SECTIONS)
    _write(config)
    child = get_context("spawn").Process(target=_upgrade_and_die, args=(config,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    warehouse = connect(config).warehouse
    unfinished = warehouse._root / "decisions_v3.upgrading"
    assert unfinished.exists()
    with pytest.raises(InvalidInput, match="banditloop upgrade"):
        warehouse.window(None)
    assert warehouse.upgrade() == BATCHES * ROWS
    assert read(warehouse, warehouse.window(None)).num_rows == len(version_2.expected_interactions())
    assert not unfinished.exists()


def _upgrade_and_die(config):
    local_upgrade.received_commit = lambda count: os.kill(os.getpid(), signal.SIGKILL)
    connect(config).warehouse.upgrade()
