"""An append while the clock was ahead: later events do not wait for it, it says so, and it can be repaired."""

import contextlib
import time
from datetime import UTC, datetime, timedelta

import pytest
from google.cloud import bigquery

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import credentials
from banditloop.rl_core.events.schema import STORED_TABLES
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.testing.backends.warehouse import read_rewards
from banditloop.rl_core.testing.events import TASK, decisions, rewards
from banditloop.rl_core.training.lineage import random_manifest, resumable

AHEAD = timedelta(days=400)


@pytest.fixture
def config(configure):
    return configure(task=TASK.model_dump())


@contextlib.contextmanager
def clock_ahead(config):
    """Events are logged here with a clock that is ahead. BigQuery's own cannot be: there the rows are moved."""
    if config.backend.name == "local":
        now = time.time_ns
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: now() + int(AHEAD.total_seconds()) * 10**9)
            yield
        return
    yield
    client = bigquery.Client(config.backend.project, credentials())
    for table in (*STORED_TABLES.values(), "log"):
        moved = f"UPDATE `{config.backend.dataset}`.{table} SET logged_at = TIMESTAMP_ADD(logged_at, INTERVAL 400 DAY)"
        client.query(f"{moved} WHERE logged_at > TIMESTAMP '2000-01-01 00:00:00+00'").result()


def test_events_logged_while_the_clock_was_ahead_hide_no_later_ones_and_can_be_repaired(config, caplog):
    warehouse = connect(config).warehouse
    with clock_ahead(config):
        warehouse.append("rewards", rewards(["a", "b", "c"], 2.0))
        warehouse.append("decisions", decisions(["a", "b", "c"]))
    later = [str(number) for number in range(3000)]
    assert warehouse.window(None).interactions == 0
    assert [
        warehouse.append(table, make(later)) for table, make in (("rewards", rewards), ("decisions", decisions))
    ] == [
        3000,
        3000,
    ]
    window = warehouse.window(None)
    assert read_rewards(connect(config), window) == dict.fromkeys(later, 1.0)
    assert window.until < datetime.now(UTC) + timedelta(minutes=1)
    assert warehouse.repair() == 6
    assert warehouse.repair() == 0
    repaired = warehouse.window(window.until)
    assert read_rewards(connect(config), repaired) == dict.fromkeys("abc", 2.0)
    warehouse.append("rewards", rewards(["last"]))
    warehouse.append("decisions", decisions(["last"]))
    assert set(read_rewards(connect(config), warehouse.window(repaired.until))) == {"last"}
    counts = warehouse.event_counts()
    assert counts.received == {"decisions": 3004, "rewards": 3004}
    assert counts.duplicate == {"decisions": 0, "rewards": 0}
    if config.backend.name == "local":  # elsewhere the platform stamps the rows
        assert "rows that were logged while the clock was ahead" in caplog.text
        assert "banditloop repair" in caplog.text


def test_a_training_while_the_clock_was_ahead_is_not_resumed_from(config):
    """Its window ends in the future: what is logged until then would never be learned from."""
    warehouse = connect(config).warehouse
    warehouse.append("decisions", decisions(["a", "b"], mode="simulated"))
    encoding, now = Encoding.unfitted(config.task), datetime.now(UTC)
    for until, can_resume in ((now, True), (now + AHEAD, False)):
        manifest = random_manifest(config).model_copy(
            update={"version": "v1-a", "window": Window(until=until, interactions=2)}
        )
        assert resumable(config, manifest, encoding) == can_resume
    window = warehouse.window(now + AHEAD)
    assert (window.since, window.interactions) == (None, 2)
