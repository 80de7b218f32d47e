"""The cache of the local warehouse's queries: a look at an unchanged log asks nothing, and sees every change."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.local import log_connection, looks
from banditloop.rl_core.backends.local.query_cache import MAX_RESULTS, QueryCache
from banditloop.rl_core.testing.events import decisions, rewards
from tests.conftest import make_config


def test_a_result_is_kept_while_files_and_time_allow():
    cache, asked = QueryCache(), []

    def query(seconds):
        asked.append(seconds)
        return len(asked), seconds

    assert [cache.get("a", 1, lambda: query(60.0)) for _ in range(3)] == [1, 1, 1]
    assert cache.get("a", 2, lambda: query(60.0)) == 2
    assert [cache.get("b", 2, lambda: query(0.0)) for _ in range(2)] == [3, 4]
    for key in range(MAX_RESULTS):
        cache.get(key, 2, lambda: query(60.0))
    before = len(asked)
    cache.get("a", 2, lambda: query(60.0))
    assert len(asked) == before + 1


@pytest.fixture
def warehouse(tmp_path):
    return connect(make_config(tmp_path, reward={"attribution_window_seconds": 0.3})).warehouse


def seen(warehouse):
    return warehouse.window(None).interactions, warehouse.policy_totals(), warehouse.event_counts()


def test_looking_at_an_unchanged_log_queries_nothing(warehouse, monkeypatch):
    warehouse.append("rewards", rewards(["a", "b"], 1.0))
    warehouse.append("decisions", decisions(["a", "b"], "v1"))
    time.sleep(0.4)
    first = seen(warehouse)
    assert first[0] == 2
    for module in (log_connection, looks):
        monkeypatch.setattr(module, "query_connection", None)
    assert seen(warehouse) == first


def test_every_append_and_every_closed_window_is_seen(warehouse):
    warehouse.append("decisions", decisions(["a"], "v1"))
    assert warehouse.window(None).interactions == 0
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while not warehouse.window(None).interactions:  # no event came: its time has
        assert datetime.now(UTC) < deadline
        time.sleep(0.05)
    for number in range(3):
        warehouse.append("rewards", rewards([f"r{number}"], 1.0))
        assert warehouse.event_counts().dangling == number + 1
        warehouse.append("decisions", decisions([f"d{number}"], "v1"))
        assert warehouse.policy_totals()[0]["interactions"] == number + 2
