"""What the warehouse makes of deferred decisions, of samples, of late rewards, and how it counts all that came."""

import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from rl_core.backends import connect
from rl_core.schema import ACTIVATION, DECISION, INTERACTION
from tests.conftest import decisions, rewards


def read(platform):
    """The rewards of all complete interactions, by event id."""
    window = platform.warehouse.window(None)
    table = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION)
    assert table.num_rows == window.interactions
    return dict(zip(table["event_id"].to_pylist(), table["reward"].to_pylist(), strict=True))


def activations(event_ids, **more):
    return rewards(event_ids, name=ACTIVATION, **more)


def test_a_deferred_decision_counts_once_it_is_activated_whatever_comes_first(platform):
    warehouse = platform.warehouse
    warehouse.append("rewards", rewards(["a", "b"], 3.0))
    warehouse.append("decisions", decisions(["a", "b"], mode="deferred"))
    warehouse.append("decisions", decisions(["behind"], mode="simulated"))
    assert read(platform) == {}  # whoever was not shown yet may still be, and nothing overtakes it
    warehouse.append("rewards", activations(["a"]))
    warehouse.append("rewards", activations(["b", "b"]))
    assert read(platform) == {"a": 3.0, "b": 3.0, "behind": 0.0}


def test_a_deferred_decision_that_was_not_activated_in_time_never_counts(configure, pace):
    platform = connect(configure(reward={"window_seconds": 0.5 * pace}))
    now = datetime.now(UTC)
    platform.warehouse.append("decisions", decisions(["never", "late", "shown"], at=now, mode="deferred"))
    platform.warehouse.append("rewards", rewards(["never", "late", "shown"], 2.0, at=now))
    platform.warehouse.append("rewards", activations(["late"], at=now + timedelta(seconds=pace)))
    platform.warehouse.append("rewards", activations(["shown"], at=now))
    time.sleep(0.6 * pace)
    assert read(platform) == {"shown": 2.0}
    [total] = platform.warehouse.totals()
    assert (total["interactions"], total["rewarded"]) == (1, 1)


@pytest.mark.parametrize("aggregation", ["first", "sum", "max"])
def test_a_late_reward_is_kept_and_counted_and_moves_nothing(configure, pace, aggregation):
    platform = connect(configure(reward={"window_seconds": 0.3 * pace, "aggregation": aggregation}))
    now = datetime.now(UTC)
    platform.warehouse.append("decisions", decisions(["a", "b"], at=now))
    platform.warehouse.append("rewards", rewards(["a"], 1.0, at=now))
    time.sleep(0.4 * pace)
    assert read(platform) == {"a": 1.0, "b": 0.0}
    late = rewards(["a", "b"], 9.0, at=now + timedelta(seconds=pace), source_id="late")
    assert platform.warehouse.append("rewards", late) == 2
    assert read(platform) == {"a": 1.0, "b": 0.0}
    assert platform.warehouse.counts().late == 2


def test_a_window_once_read_stays_as_it_is_whatever_is_logged_later(configure, pace):
    """Also where it was earned in time, or before what has come: then it is late."""
    platform = connect(configure(reward={"window_seconds": 0.3 * pace}))
    now = datetime.now(UTC)
    platform.warehouse.append("decisions", decisions(["shown", "rewarded"], at=now))
    platform.warehouse.append("decisions", decisions(["deferred"], at=now, mode="deferred"))
    platform.warehouse.append("rewards", rewards(["rewarded"], 1.0, at=now))
    time.sleep(0.4 * pace)
    window = platform.warehouse.window(None)
    found = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION)
    platform.warehouse.append(
        "rewards", rewards(["shown", "rewarded"], 9.0, at=now - timedelta(seconds=pace), source_id="x")
    )
    platform.warehouse.append("rewards", activations(["deferred"], at=now))
    again = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION)
    assert again.sort_by("event_id") == found.sort_by("event_id")
    assert platform.warehouse.window(window.until).interactions == 0
    assert platform.warehouse.counts().late == 3


def test_everything_that_came_is_counted(platform):
    warehouse = platform.warehouse
    assert warehouse.counts() == ({"decisions": 0, "rewards": 0}, {"decisions": 0, "rewards": 0}, 0, 0)
    warehouse.append("decisions", decisions(["a", "b", "a"]))
    warehouse.append("decisions", decisions(["b"]))
    warehouse.append("rewards", rewards(["a", "a", "nobody"]))
    warehouse.append("rewards", rewards(["a", "nobody"]))
    warehouse.append("rewards", rewards(["nobody else"], at=datetime(2026, 1, 1, tzinfo=UTC)))
    counts = warehouse.counts()
    assert counts.received == {"decisions": 4, "rewards": 6}
    assert counts.duplicate == {"decisions": 2, "rewards": 3}
    assert (counts.late, counts.dangling) == (0, 2)
    warehouse.append("decisions", decisions(["nobody"]))
    assert warehouse.counts().dangling == 1


def test_counts_survive_compaction(platform, compacting):
    for number in range(60):
        platform.warehouse.append("rewards", rewards([f"{number}", "again"]))
    counts = platform.warehouse.counts()
    assert (counts.received["rewards"], counts.duplicate["rewards"]) == (120, 59)


def test_a_sampled_decision_stands_for_those_that_were_not_logged(platform):
    place = DECISION.get_field_index("pass_probability")
    for event_id, share in (("a", 1.0), ("b", 0.25)):
        table = decisions([event_id]).set_column(place, DECISION.field(place), [[share]])
        platform.warehouse.append("decisions", table)
    platform.warehouse.append("rewards", rewards(["b"], 5.0))
    [total] = platform.warehouse.totals()
    assert total["interactions"] == 2
    assert total["mean_reward"] == pytest.approx(4 * 5.0 / 5)
