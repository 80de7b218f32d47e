"""The warehouse: every event once, windows without gap or overlap."""

import time
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rl_core.backends import connect
from rl_core.config import Config
from rl_core.schema import INTERACTION
from rl_core.split import held_out
from tests.conftest import decisions, rewards
from tests.ports.conftest import BACKENDS

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def read(platform, window) -> dict[str, float]:
    table = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION)
    assert table.num_rows == window.interactions
    return dict(zip(table["event_id"].to_pylist(), table["reward"].to_pylist(), strict=True))


class TestWarehouse:
    def test_it_starts_empty(self, platform):
        assert platform.warehouse.window(None).interactions == 0
        assert platform.warehouse.totals() == []

    def test_an_event_is_kept_once_however_often_it_comes(self, platform):
        assert platform.warehouse.append("decisions", decisions(["a", "b", "a"])) == 2
        assert platform.warehouse.append("decisions", decisions(["b", "c"])) == 1
        assert platform.warehouse.append("rewards", rewards(["a", "a"])) == 1
        assert platform.warehouse.append("rewards", rewards(["a"], source_id="another")) == 1
        assert platform.warehouse.append("decisions", decisions([])) == 0
        assert [(row["interactions"], row["rewarded"]) for row in platform.warehouse.totals()] == [(3, 1)]

    def test_the_parts_of_a_window_are_those_of_the_event_ids_hash(self, configure):
        platform = connect(configure(gate={"held_out": 0.2}))
        ids = [f"event-{number}" for number in range(500)]
        platform.warehouse.append("decisions", decisions(ids, mode="simulated"))
        window, kept = platform.warehouse.window(None), {event_id for event_id in ids if held_out(event_id, 0.2)}
        assert window.interactions == 500
        assert 70 <= len(kept) <= 130
        for part, expected in (("held_out", kept), ("training", set(ids) - kept)):
            found = pa.Table.from_batches(platform.warehouse.interactions(window, part), INTERACTION)
            assert set(found["event_id"].to_pylist()) == expected

    def test_what_a_shadow_decided_is_no_interaction(self, platform):
        platform.warehouse.append("decisions", decisions(["a"], version="v1-a", mode="simulated"))
        platform.warehouse.append("decisions", decisions(["b", "c"], version="v2-b", mode="shadow"))
        assert read(platform, platform.warehouse.window(None)) == {"a": 0.0}
        found = [(row["version"], row["interactions"], row["shadowed"]) for row in platform.warehouse.totals()]
        assert found == [("v1-a", 1, 0), ("v2-b", 0, 2)]

    def test_an_interaction_is_complete_with_its_first_reward_or_with_its_window(self, platform):
        platform.warehouse.append("decisions", decisions(["simulated"], mode="simulated"))
        platform.warehouse.append("decisions", decisions(["rewarded"]))
        platform.warehouse.append("rewards", rewards(["rewarded"], 4.0))
        assert read(platform, platform.warehouse.window(None)) == {"simulated": 0.0, "rewarded": 4.0}
        platform.warehouse.append("decisions", decisions(["waits"]))
        platform.warehouse.append("decisions", decisions(["behind"], mode="simulated"))
        assert platform.warehouse.window(None).interactions == 2
        platform.warehouse.append("rewards", rewards(["waits"]))
        assert platform.warehouse.window(None).interactions == 4

    def test_a_decision_logged_late_still_gives_its_reward_time_to_arrive(self, platform):
        """After a pause of the logger, a decision older than the window comes before its reward."""
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO))
        assert platform.warehouse.window(None).interactions == 0
        platform.warehouse.append("rewards", rewards(["a"], 5.0, at=LONG_AGO))
        assert read(platform, platform.warehouse.window(None)) == {"a": 5.0}

    def test_a_decision_from_the_future_holds_nothing_up(self, configure):
        platform = connect(configure(reward={"window_seconds": 0.3}))
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO + timedelta(days=36_500)))
        time.sleep(0.4)
        assert read(platform, platform.warehouse.window(None)) == {"a": 0.0}

    def test_many_small_appends_are_kept_through_compaction(self, platform, compacting):
        ids = [f"{i}" for i in range(120)]
        for event_id in ids:
            platform.warehouse.append("decisions", decisions([event_id], at=LONG_AGO, mode="simulated"))
        middle = platform.warehouse.window(None)
        assert set(read(platform, middle)) == set(ids)
        assert platform.warehouse.append("decisions", decisions(ids, at=LONG_AGO)) == 0
        platform.warehouse.append("decisions", decisions(["after"], mode="simulated"))
        assert set(read(platform, platform.warehouse.window(middle.until))) == {"after"}

    def test_windows_follow_each_other_without_gap_or_overlap(self, platform):
        since, seen = None, []
        for step in range(4):
            ids = [f"{step}-{i}" for i in range(3)]
            platform.warehouse.append("decisions", decisions(ids, mode="simulated"))
            window = platform.warehouse.window(since)
            assert set(read(platform, window)) == set(ids)
            assert platform.warehouse.window(window.until).interactions == 0
            since, seen = window.until, seen + ids
        assert set(read(platform, platform.warehouse.window(None))) == set(seen)

    def test_what_is_logged_late_comes_with_a_later_window(self, platform):
        platform.warehouse.append("decisions", decisions(["today"], at=LONG_AGO + timedelta(days=1), mode="simulated"))
        first = platform.warehouse.window(None)
        platform.warehouse.append("decisions", decisions(["of yesterday"], at=LONG_AGO, mode="simulated"))
        assert set(read(platform, platform.warehouse.window(first.until))) == {"of yesterday"}

    def test_appends_within_one_moment_or_while_the_clock_goes_back_are_told_apart(self, platform, monkeypatch):
        since, clock = None, iter([5, 5, 4, 3, 3, 9])
        monkeypatch.setattr(time, "time_ns", lambda: 10**18 + next(clock) * 1000)
        for step in range(6):
            platform.warehouse.append("decisions", decisions([str(step)], mode="simulated"))
            window = platform.warehouse.window(since)
            assert set(read(platform, window)) == {str(step)}
            since = window.until

    @pytest.mark.parametrize(
        ("aggregation", "expected"), [("first", 2), ("last", 3), ("sum", 6), ("mean", 2), ("max", 3), ("min", 1)]
    )
    def test_several_rewards_are_aggregated(self, configure, pace, aggregation, expected):
        platform = connect(configure(reward={"aggregation": aggregation, "window_seconds": 10.0 * pace}))
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO, mode="simulated"))
        for order in (2, 1, 3):
            at = LONG_AGO + timedelta(seconds=order)
            platform.warehouse.append("rewards", rewards(["a"], order, at=at, source_id=str(order)))
            time.sleep(0.01)  # the first is the one that was logged first
        assert read(platform, platform.warehouse.window(None)) == {"a": expected}

    def test_only_the_named_reward_within_the_window_counts(self, configure, pace):
        platform = connect(configure(reward={"name": "rating", "default": -1.0, "window_seconds": 10.0 * pace}))
        platform.warehouse.append(
            "decisions", decisions(["late", "other", "none", "good"], at=LONG_AGO, mode="simulated")
        )
        in_time, late = LONG_AGO + timedelta(seconds=10 * pace), LONG_AGO + timedelta(seconds=11 * pace)
        platform.warehouse.append("rewards", rewards(["late"], 5.0, at=late, name="rating"))
        platform.warehouse.append("rewards", rewards(["other"], 5.0, at=in_time, name="click"))
        platform.warehouse.append("rewards", rewards(["good"], 5.0, at=in_time, name="rating"))
        assert read(platform, platform.warehouse.window(None)) == {"late": -1, "other": -1, "none": -1, "good": 5}

    def test_where_the_first_reward_does_not_settle_it_the_window_must_pass(self, configure, pace):
        platform = connect(configure(reward={"aggregation": "sum", "window_seconds": 0.4 * pace}))
        platform.warehouse.append("decisions", decisions(["a"]))
        platform.warehouse.append("rewards", rewards(["a"]))
        assert platform.warehouse.window(None).interactions == 0
        time.sleep(0.5 * pace)
        assert platform.warehouse.window(None).interactions == 1

    def test_writers_and_a_reader_at_once_lose_and_double_nothing(self, configure, platform, pace):
        """Three processes append overlapping events while this one reads whatever is new."""
        context, share = get_context("spawn"), 8 if pace == 1 else 3
        writers = [context.Process(target=append_many, args=(configure(), w, share)) for w in range(3)]
        for writer in writers:
            writer.start()
        since, seen = None, []
        while any(writer.is_alive() for writer in writers) or platform.warehouse.window(since).interactions:
            window = platform.warehouse.window(since)
            seen += read(platform, window)
            assert window.interactions % 10 == 0  # whole appends only
            since = window.until
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert sorted(seen) == sorted(f"{i}-{j}" for i in range(3 * share) for j in range(10))


def append_many(config: Config, writer: int, share: int) -> None:
    warehouse = connect(config).warehouse
    for step in range(2 * share):  # half of a writer's events are also the next one's
        batch = (share * writer + step) % (3 * share)
        warehouse.append("decisions", decisions([f"{batch}-{j}" for j in range(10)], at=LONG_AGO, mode="simulated"))


@pytest.mark.parametrize(("backend", "examples"), zip(BACKENDS.values(), (20, 3), strict=True), ids=BACKENDS.keys())
def test_any_order_and_repetition_of_appends_gives_the_same_table(backend, examples, tmp_path_factory):
    one = st.tuples(st.sampled_from(["decisions", "rewards"]), st.lists(st.sampled_from("abcdef")))

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(appends=st.lists(one, max_size=8))
    def check(appends):
        platform = connect(backend(tmp_path_factory.mktemp("warehouse"), reward={"window_seconds": 3600.0}))
        known = {"decisions": set(), "rewards": set()}
        for table, ids in appends:
            batch = {"decisions": decisions(ids, at=LONG_AGO, mode="simulated"), "rewards": rewards(ids, at=LONG_AGO)}
            assert platform.warehouse.append(table, batch[table]) == len(set(ids) - known[table])
            known[table] |= set(ids)
        expected = {event_id: float(event_id in known["rewards"]) for event_id in known["decisions"]}
        assert read(platform, platform.warehouse.window(None)) == expected

    check()
