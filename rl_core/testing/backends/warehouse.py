"""The contract suite of the warehouse: every event stored once, windows without gap or overlap."""

import itertools
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.holdout import Fold, is_held_out
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.testing.backends.fixtures import BackendFixtures, Configure
from banditloop.rl_core.testing.events import TASK, decisions, rewards

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class WarehouseContract(BackendFixtures):
    """Checks of the port Warehouse: its tables, windows and folds."""

    def test_a_warehouse_starts_empty(self, platform: Platform) -> None:
        assert platform.warehouse.window(None).interactions == 0
        assert platform.warehouse.policy_totals() == []

    def test_an_event_is_stored_once_however_often_it_is_appended(self, platform: Platform) -> None:
        assert platform.warehouse.append("decisions", decisions(["a", "b", "a"])) == 2
        assert platform.warehouse.append("decisions", decisions(["b", "c"])) == 1
        assert platform.warehouse.append("rewards", rewards(["a", "a"])) == 1
        assert platform.warehouse.append("rewards", rewards(["a"], source_id="another")) == 1
        assert platform.warehouse.append("decisions", decisions([])) == 0
        assert [(row["interactions"], row["rewarded"]) for row in platform.warehouse.policy_totals()] == [(3, 1)]

    @pytest.mark.parametrize("seed", range(3))
    def test_any_order_and_repetition_of_appends_gives_the_same_tables(self, configure: Configure, seed: int) -> None:
        random = np.random.default_rng(seed)
        tables = random.choice(["decisions", "rewards"], size=8)
        appends = [(str(table), list(random.choice(list("abcdef"), size=random.integers(8)))) for table in tables]
        assert_appends_are_idempotent(
            connect(configure(task=TASK.model_dump(), reward={"attribution_window_seconds": 3600.0})), appends
        )

    def test_the_folds_of_a_window_follow_the_hash_of_the_event_id(self, configure: Configure) -> None:
        platform = connect(configure(task=TASK.model_dump(), gate={"holdout_fraction": 0.2}))
        ids = [f"event-{number}" for number in range(500)]
        platform.warehouse.append("decisions", decisions(ids, mode="simulated"))
        window, held_out = platform.warehouse.window(None), {name for name in ids if is_held_out(name, 0.2)}
        assert window.interactions == 500
        assert 70 <= len(held_out) <= 130
        folds: dict[Fold, set[str]] = {"held_out": held_out, "training": set(ids) - held_out}
        for fold, expected in folds.items():
            table = pa.Table.from_batches(platform.warehouse.interactions(window, fold), interaction_schema(TASK))
            assert set(table["event_id"].to_pylist()) == expected

    def test_shards_of_a_window_have_each_interaction_once(self, configure: Configure) -> None:
        config = configure(task=TASK.model_dump(), gate={"holdout_fraction": 0.2})
        platform, ids = connect(config), [f"event-{number}" for number in range(500)]
        platform.warehouse.append("decisions", decisions(ids, mode="simulated"))
        platform.warehouse.append("rewards", rewards(ids[::3], 2.0))
        window = platform.warehouse.window(None)
        for fold in ("training", None):
            shards = platform.warehouse.shards(window, fold, 3)
            assert 1 <= len(shards) <= 3
            platform.warehouse.append("decisions", decisions([f"later {fold}"], mode="simulated"))
            parts = [connect(config).warehouse.interactions(window, fold, shard) for shard in shards]
            table = pa.Table.from_batches(itertools.chain(*parts), interaction_schema(TASK))
            whole = pa.Table.from_batches(platform.warehouse.interactions(window, fold), interaction_schema(TASK))
            assert table.sort_by("event_id").equals(whole.sort_by("event_id"))

    def test_shadow_decisions_are_no_interactions(self, platform: Platform) -> None:
        platform.warehouse.append("decisions", decisions(["a"], version="v1-a", mode="simulated"))
        platform.warehouse.append("decisions", decisions(["b", "c"], version="v2-b", mode="shadow"))
        assert read_rewards(platform, platform.warehouse.window(None)) == {"a": 0.0}
        totals = [(row["version"], row["interactions"], row["shadowed"]) for row in platform.warehouse.policy_totals()]
        assert totals == [("v1-a", 1, 0), ("v2-b", 0, 2)]
        assert [row["shadowed"] for row in platform.warehouse.policy_totals(["v2-b", "v9-nothing"])] == [2]

    def test_a_decision_with_a_timestamp_in_the_future_delays_nothing(self, configure: Configure, pace: float) -> None:
        platform = connect(configure(task=TASK.model_dump(), reward={"attribution_window_seconds": 0.3 * pace}))
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO + timedelta(days=36_500)))
        time.sleep(0.4 * pace)
        assert read_rewards(platform, platform.warehouse.window(None)) == {"a": 0.0}

    def test_many_small_appends_survive_compaction(self, platform: Platform, compacting: None) -> None:
        ids = [f"{number}" for number in range(120)]
        for event_id in ids:
            platform.warehouse.append("decisions", decisions([event_id], at=LONG_AGO, mode="simulated"))
        window = platform.warehouse.window(None)
        assert set(read_rewards(platform, window)) == set(ids)
        assert platform.warehouse.append("decisions", decisions(ids, at=LONG_AGO)) == 0
        platform.warehouse.append("decisions", decisions(["after"], mode="simulated"))
        assert set(read_rewards(platform, platform.warehouse.window(window.until))) == {"after"}

    def test_consecutive_windows_have_no_gap_and_no_overlap(self, platform: Platform) -> None:
        since: datetime | None = None
        all_ids: list[str] = []
        for step in range(4):
            ids = [f"{step}-{number}" for number in range(3)]
            platform.warehouse.append("decisions", decisions(ids, mode="simulated"))
            window = platform.warehouse.window(since)
            assert set(read_rewards(platform, window)) == set(ids)
            assert platform.warehouse.window(window.until).interactions == 0
            since, all_ids = window.until, all_ids + ids
        assert set(read_rewards(platform, platform.warehouse.window(None))) == set(all_ids)

    def test_a_decision_logged_late_is_in_a_later_window(self, platform: Platform) -> None:
        platform.warehouse.append("decisions", decisions(["today"], at=LONG_AGO + timedelta(days=1), mode="simulated"))
        first = platform.warehouse.window(None)
        platform.warehouse.append("decisions", decisions(["of yesterday"], at=LONG_AGO, mode="simulated"))
        assert set(read_rewards(platform, platform.warehouse.window(first.until))) == {"of yesterday"}

    def test_appends_in_the_same_microsecond_or_with_a_clock_set_back_are_told_apart(
        self, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        since: datetime | None = None
        clock = itertools.chain([5, 5, 4, 3, 3], itertools.count(9))
        monkeypatch.setattr(time, "time_ns", lambda: 10**18 + next(clock) * 1000)
        for step in range(6):
            platform.warehouse.append("decisions", decisions([str(step)], mode="simulated"))
            window = platform.warehouse.window(since)
            assert set(read_rewards(platform, window)) == {str(step)}
            since = window.until

    def test_concurrent_writers_and_a_reader_lose_and_double_nothing(
        self, configure: Configure, platform: Platform, pace: float
    ) -> None:
        """Three processes append overlapping events while this one reads every new window."""
        context, batches = get_context("spawn"), 8 if pace == 1 else 3
        writers = [
            context.Process(target=_append_batches, args=(configure(task=TASK.model_dump()), number, batches))
            for number in range(3)
        ]
        for writer in writers:
            writer.start()
        since: datetime | None = None
        event_ids: list[str] = []
        while any(writer.is_alive() for writer in writers) or platform.warehouse.window(since).interactions:
            window = platform.warehouse.window(since)
            event_ids += read_rewards(platform, window)
            assert window.interactions % 10 == 0  # whole appends only
            since = window.until
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert sorted(event_ids) == sorted(f"{batch}-{row}" for batch in range(3 * batches) for row in range(10))


def read_rewards(platform: Platform, window: Window) -> dict[str, float]:
    """The rewards of a window's interactions, by event id."""
    table = pa.Table.from_batches(platform.warehouse.interactions(window), interaction_schema(TASK))
    assert table.num_rows == window.interactions
    return dict(zip(table["event_id"].to_pylist(), table["reward"].to_pylist(), strict=True))


def assert_appends_are_idempotent(platform: Platform, appends: Iterable[tuple[str, list[str]]]) -> None:
    """Assert that appends of event ids to tables, in any order and repetition, store each of them once."""
    stored: dict[str, set[str]] = {"decisions": set(), "rewards": set()}
    for table, ids in appends:
        batch = decisions(ids, at=LONG_AGO, mode="simulated") if table == "decisions" else rewards(ids, at=LONG_AGO)
        assert platform.warehouse.append(table, batch) == len(set(ids) - stored[table])
        stored[table] |= set(ids)
    expected = {event_id: float(event_id in stored["rewards"]) for event_id in stored["decisions"]}
    assert read_rewards(platform, platform.warehouse.window(None)) == expected


def _append_batches(config: Config, writer: int, batches: int) -> None:
    warehouse = connect(config).warehouse
    for step in range(2 * batches):  # half of a writer's events are also the next one's
        batch = (batches * writer + step) % (3 * batches)
        ids = [f"{batch}-{row}" for row in range(10)]
        warehouse.append("decisions", decisions(ids, at=LONG_AGO, mode="simulated"))
