"""The contract suite of the log's accounting: every event in one count, once, and none lost to time."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import LogCounts
from banditloop.rl_core.settings.loop import ACTIVATION
from banditloop.rl_core.testing.backends.fixtures import BackendFixtures, Configure
from banditloop.rl_core.testing.backends.warehouse import LONG_AGO, read_rewards
from banditloop.rl_core.testing.events import TASK, decisions, rewards

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class AccountingContract(BackendFixtures):
    """Checks of the port Warehouse: outcomes that add up, keys that stay known, rewards that were received in time."""

    @pytest.mark.parametrize("seed", range(2))
    def test_every_event_is_in_exactly_one_count(self, configure: Configure, seed: int) -> None:
        platform, random = connect(configure(task=TASK.model_dump(), reward=_window(HOUR))), np.random.default_rng(seed)
        ids = np.array(list("abcdefgh"))
        for _ in range(6):
            mode = str(random.choice(["online", "shadow", "deferred", "simulated", "external"]))
            at = LONG_AGO + int(random.integers(-50, 50)) * HOUR
            platform.warehouse.append("decisions", decisions(list(random.choice(ids, 3)), mode=mode, at=at))
            name, at = (
                str(random.choice(["reward", "click", ACTIVATION])),
                LONG_AGO + int(random.integers(-50, 50)) * HOUR,
            )
            platform.warehouse.append("rewards", rewards(list(random.choice(ids, 5)), name=name, at=at))
        counts = platform.warehouse.event_counts()
        assert counts.received == {"decisions": 18, "rewards": 30}
        assert_counts_add_up(counts)

    def test_early_and_unnamed_rewards_and_inactive_decisions_are_counted(self, configure: Configure) -> None:
        warehouse = connect(configure(task=TASK.model_dump(), reward=_window(HOUR))).warehouse
        warehouse.append("rewards", rewards(["a"], 3.0, at=LONG_AGO - 25 * HOUR))
        warehouse.append("rewards", rewards(["a", "b"], 3.0, at=LONG_AGO, name="click"))
        warehouse.append("rewards", rewards(["b"], 3.0, at=LONG_AGO - 23 * HOUR))
        warehouse.append("rewards", rewards(["b"], 4.0, at=LONG_AGO + 2 * HOUR, source_id="late"))
        warehouse.append("decisions", decisions(["a", "b"], at=LONG_AGO))
        warehouse.append("decisions", decisions(["c"], at=LONG_AGO, mode="deferred"))
        warehouse.append("decisions", decisions(["d"], at=LONG_AGO, mode="shadow"))
        counts = warehouse.event_counts()
        assert (counts.early, counts.unnamed, counts.late, counts.joined, counts.dangling) == (1, 2, 1, 1, 0)
        assert (counts.shown, counts.inactive, counts.shadow) == (2, 1, 1)

    @pytest.mark.parametrize("days", [1.2, 39.0])
    def test_a_key_is_known_as_long_as_its_attribution_window(self, configure: Configure, days: float) -> None:
        warehouse = connect(configure(task=TASK.model_dump(), reward=_window(40 * DAY))).warehouse
        for table, make in (("decisions", decisions), ("rewards", rewards)):
            again = [make(["a", "b"], at=LONG_AGO + sign * days * DAY) for sign in (0, 1, -1)]
            assert [warehouse.append(table, events) for events in again] == [2, 0, 0]
            assert warehouse.append(table, make(["a", "c"], at=LONG_AGO + days * DAY)) == 1
        assert warehouse.event_counts().duplicate == {"decisions": 5, "rewards": 5}

    def test_a_reward_is_late_by_when_it_was_received_not_by_when_it_was_logged(
        self, configure: Configure, pace: float
    ) -> None:
        seconds = 0.2 * pace
        sections = {"reward": {"attribution_window_seconds": seconds}, "bus": {"lease_seconds": 100.0}}
        platform, now = connect(configure(task=TASK.model_dump(), **sections)), datetime.now(UTC)
        platform.warehouse.append("decisions", decisions(["in time", "late", "unknown"], at=now))
        time.sleep(2 * seconds)
        platform.warehouse.append("rewards", rewards(["in time"], 5.0, at=now, received_at=now))
        platform.warehouse.append("rewards", rewards(["late"], 5.0, at=now, received_at=datetime.now(UTC)))
        platform.warehouse.append("rewards", rewards(["unknown"], 5.0, at=now))
        window = Window(until=datetime.now(UTC) + HOUR, interactions=3)
        assert read_rewards(platform, window) == {"in time": 5.0, "late": 0.0, "unknown": 0.0}
        counts = platform.warehouse.event_counts()
        assert (counts.joined, counts.late) == (1, 2)


def assert_counts_add_up(counts: LogCounts) -> None:
    """Assert that the outcomes of each table are as many as the events received."""
    decided = counts.shown + counts.shadow + counts.inactive
    earned = counts.joined + counts.late + counts.early + counts.unnamed + counts.dangling
    assert Counter(counts.duplicate) + Counter({"decisions": decided, "rewards": earned}) == Counter(counts.received)


def _window(duration: timedelta) -> dict[str, float]:
    return {"attribution_window_seconds": duration.total_seconds()}
