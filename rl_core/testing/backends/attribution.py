"""The contract suite of the warehouse's rewards: aggregation, attribution windows, deferred decisions, counts."""

import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.ports import LogCounts, Platform
from banditloop.rl_core.settings.loop import ACTIVATION
from banditloop.rl_core.testing.backends.fixtures import BackendFixtures, Configure
from banditloop.rl_core.testing.backends.warehouse import LONG_AGO, read_rewards
from banditloop.rl_core.testing.events import TASK, decisions, rewards


class AttributionContract(BackendFixtures):
    """Checks of the port Warehouse: which rewards count for which decisions, and when an interaction is complete.

    Rewards that must be in time are appended before their decisions: how long an append takes does not matter then.
    """

    def test_an_interaction_is_complete_with_its_first_reward_or_after_its_attribution_window(
        self, platform: Platform
    ) -> None:
        platform.warehouse.append("decisions", decisions(["simulated"], mode="simulated"))
        platform.warehouse.append("decisions", decisions(["rewarded"]))
        platform.warehouse.append("rewards", rewards(["rewarded"], 4.0))
        assert _complete(platform) == {"simulated": 0.0, "rewarded": 4.0}
        platform.warehouse.append("decisions", decisions(["waits"]))
        platform.warehouse.append("decisions", decisions(["behind"], mode="simulated"))
        assert platform.warehouse.window(None).interactions == 2
        platform.warehouse.append("rewards", rewards(["waits"]))
        assert platform.warehouse.window(None).interactions == 4

    def test_the_attribution_window_starts_when_the_decision_is_logged(self, platform: Platform) -> None:
        """After a pause of the logger, a decision older than the attribution window comes before its reward."""
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO))
        assert platform.warehouse.window(None).interactions == 0
        platform.warehouse.append("rewards", rewards(["a"], 5.0, at=LONG_AGO))
        assert _complete(platform) == {"a": 5.0}

    @pytest.mark.parametrize(
        ("aggregation", "expected"), [("first", 2), ("last", 3), ("sum", 6), ("mean", 2), ("max", 3), ("min", 1)]
    )
    def test_several_rewards_are_aggregated(
        self, configure: Configure, pace: float, aggregation: str, expected: float
    ) -> None:
        platform = connect(
            configure(
                task=TASK.model_dump(), reward={"aggregation": aggregation, "attribution_window_seconds": 10.0 * pace}
            )
        )
        for order in (2, 1, 3):
            at = LONG_AGO + timedelta(seconds=order)
            platform.warehouse.append("rewards", rewards(["a"], order, at=at, source_id=str(order)))
            time.sleep(0.01)  # the first is the one that was logged first
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO, mode="simulated"))
        assert _complete(platform) == {"a": expected}

    def test_only_the_named_reward_within_the_attribution_window_counts(
        self, configure: Configure, pace: float
    ) -> None:
        reward = {"name": "rating", "default": -1.0, "attribution_window_seconds": 10.0 * pace}
        platform, ids = connect(configure(task=TASK.model_dump(), reward=reward)), ["late", "other", "none", "good"]
        in_time, late = LONG_AGO + timedelta(seconds=10 * pace), LONG_AGO + timedelta(seconds=11 * pace)
        platform.warehouse.append("rewards", rewards(["late"], 5.0, at=late, name="rating"))
        platform.warehouse.append("rewards", rewards(["other"], 5.0, at=in_time, name="click"))
        platform.warehouse.append("rewards", rewards(["good"], 5.0, at=in_time, name="rating"))
        platform.warehouse.append("decisions", decisions(ids, at=LONG_AGO, mode="simulated"))
        assert _complete(platform) == {"late": -1, "other": -1, "none": -1, "good": 5}

    def test_the_attribution_window_must_pass_unless_the_first_reward_decides(
        self, configure: Configure, pace: float
    ) -> None:
        reward = {"aggregation": "sum", "attribution_window_seconds": 3600.0}
        platform = connect(configure(task=TASK.model_dump(), reward=reward))
        platform.warehouse.append("decisions", decisions(["a"]))
        platform.warehouse.append("rewards", rewards(["a"]))
        assert platform.warehouse.window(None).interactions == 0
        time.sleep(0.1 * pace)
        passed = reward | {"attribution_window_seconds": 0.01}
        assert connect(configure(task=TASK.model_dump(), reward=passed)).warehouse.window(None).interactions == 1

    def test_a_deferred_decision_counts_once_activated_in_any_order_of_events(self, platform: Platform) -> None:
        warehouse = platform.warehouse
        warehouse.append("rewards", rewards(["a", "b"], 3.0))
        warehouse.append("decisions", decisions(["a", "b"], mode="deferred"))
        warehouse.append("decisions", decisions(["behind"], mode="simulated"))
        assert _complete(platform) == {}  # the deferred ones may still be activated, and nothing overtakes them
        warehouse.append("rewards", _activations(["a"]))
        warehouse.append("rewards", _activations(["b", "b"]))
        assert _complete(platform) == {"a": 3.0, "b": 3.0, "behind": 0.0}

    def test_a_deferred_decision_not_activated_in_time_never_counts(self, configure: Configure, pace: float) -> None:
        platform = connect(configure(task=TASK.model_dump(), reward={"attribution_window_seconds": 0.5 * pace}))
        now = datetime.now(UTC)
        platform.warehouse.append("rewards", rewards(["never", "late", "shown"], 2.0, at=now))
        platform.warehouse.append("rewards", _activations(["late"], at=now + timedelta(seconds=pace)))
        platform.warehouse.append("rewards", _activations(["shown"], at=now))
        platform.warehouse.append("decisions", decisions(["never", "late", "shown"], at=now, mode="deferred"))
        time.sleep(0.6 * pace)
        assert _complete(platform) == {"shown": 2.0}
        [total] = platform.warehouse.policy_totals()
        assert (total["interactions"], total["rewarded"]) == (1, 1)

    @pytest.mark.parametrize("aggregation", ["first", "sum", "max"])
    def test_a_late_reward_is_stored_and_counted_and_changes_nothing(
        self, configure: Configure, pace: float, aggregation: str
    ) -> None:
        platform = connect(
            configure(
                task=TASK.model_dump(), reward={"attribution_window_seconds": 0.3 * pace, "aggregation": aggregation}
            )
        )
        now = datetime.now(UTC)
        platform.warehouse.append("rewards", rewards(["a"], 1.0, at=now))
        platform.warehouse.append("decisions", decisions(["a", "b"], at=now))
        time.sleep(0.4 * pace)
        assert _complete(platform) == {"a": 1.0, "b": 0.0}
        late = rewards(["a", "b"], 9.0, at=now + timedelta(seconds=pace), source_id="late")
        assert platform.warehouse.append("rewards", late) == 2
        assert _complete(platform) == {"a": 1.0, "b": 0.0}
        assert platform.warehouse.event_counts().late == 2

    def test_a_window_read_again_is_the_same_whatever_was_logged_since(self, configure: Configure, pace: float) -> None:
        """Rewards that were earned in time, or before those already there, are late if they are logged late."""
        platform = connect(configure(task=TASK.model_dump(), reward={"attribution_window_seconds": 0.3 * pace}))
        now = datetime.now(UTC)
        platform.warehouse.append("rewards", rewards(["rewarded"], 1.0, at=now))
        platform.warehouse.append("decisions", decisions(["deferred"], at=now, mode="deferred"))
        platform.warehouse.append("decisions", decisions(["shown", "rewarded"], at=now))
        time.sleep(0.4 * pace)
        window = platform.warehouse.window(None)
        before = pa.Table.from_batches(platform.warehouse.interactions(window), interaction_schema(TASK))
        late = rewards(["shown", "rewarded"], 9.0, at=now - timedelta(seconds=pace), source_id="x")
        platform.warehouse.append("rewards", late)
        platform.warehouse.append("rewards", _activations(["deferred"], at=now))
        after = pa.Table.from_batches(platform.warehouse.interactions(window), interaction_schema(TASK))
        assert after.sort_by("event_id") == before.sort_by("event_id")
        assert platform.warehouse.window(window.until).interactions == 0
        assert platform.warehouse.event_counts().late == 3

    def test_all_appended_events_are_counted(self, platform: Platform) -> None:
        warehouse = platform.warehouse
        assert warehouse.event_counts() == LogCounts({"decisions": 0, "rewards": 0}, {"decisions": 0, "rewards": 0})
        warehouse.append("decisions", decisions(["a", "b", "a"]))
        warehouse.append("decisions", decisions(["b"]))
        warehouse.append("rewards", rewards(["a", "a", "unknown"]))
        warehouse.append("rewards", rewards(["a", "unknown"]))
        warehouse.append("rewards", rewards(["unknown too"], at=LONG_AGO))
        counts = warehouse.event_counts()
        assert counts.received == {"decisions": 4, "rewards": 6}
        assert counts.duplicate == {"decisions": 2, "rewards": 3}
        assert (counts.late, counts.dangling) == (0, 2)
        warehouse.append("decisions", decisions(["unknown"]))
        assert warehouse.event_counts().dangling == 1

    def test_counts_survive_compaction(self, platform: Platform, compacting: None) -> None:
        for number in range(60):
            platform.warehouse.append("rewards", rewards([f"{number}", "again"]))
        counts = platform.warehouse.event_counts()
        assert (counts.received["rewards"], counts.duplicate["rewards"]) == (120, 59)

    def test_a_sampled_decision_is_weighted_by_its_inverse_logging_probability(self, platform: Platform) -> None:
        for event_id, probability in (("a", 1.0), ("b", 0.25)):
            platform.warehouse.append("decisions", decisions([event_id], logging_probability=probability))
        platform.warehouse.append("rewards", rewards(["b"], 5.0))
        [total] = platform.warehouse.policy_totals()
        assert total["interactions"] == 2
        assert total["mean_reward"] == pytest.approx(4 * 5.0 / 5)
        assert total["ignored"] == 0

    def test_decisions_without_a_reward_are_ignored_where_the_default_is_to_ignore(self, configure: Configure) -> None:
        warehouse = connect(configure(task=TASK.model_dump(), reward={"default": "ignore"})).warehouse
        warehouse.append("rewards", rewards(["a", "b"], 5.0))
        warehouse.append("decisions", decisions(["a"], mode="simulated", logging_probability=0.5))
        warehouse.append("decisions", decisions(["b", "none"], mode="simulated"))
        window = warehouse.window(None)
        assert window.interactions == 2
        table = pa.Table.from_batches(warehouse.interactions(window), interaction_schema(TASK))
        assert dict(zip(*(table[name].to_pylist() for name in ("event_id", "reward")), strict=True)) == {"a": 5, "b": 5}
        warehouse.append("decisions", decisions(["alone"], version="v2-b", mode="simulated"))
        assert warehouse.window(window.until).interactions == 0
        first, second = warehouse.policy_totals()
        assert first | {"version": "v1-a", "interactions": 2, "rewarded": 2, "mean_reward": 5.0, "ignored": 1} == first
        assert second == {"version": "v2-b", "interactions": 0, "rewarded": 0, "mean_reward": None} | {
            "ignored": 1,
            "shadowed": 0,
        }


def _complete(platform: Platform) -> dict[str, float]:
    """The rewards of all complete interactions, by event id."""
    return read_rewards(platform, platform.warehouse.window(None))


def _activations(event_ids: list[str], at: datetime | None = None) -> pa.Table:
    return rewards(event_ids, name=ACTIVATION, at=at)
