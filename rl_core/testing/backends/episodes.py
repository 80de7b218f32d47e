"""The contract suite of episodes: which decisions are in them, how they end, and when they are complete."""

import time
from datetime import UTC, datetime, timedelta

from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import EpisodeCounts, Warehouse
from banditloop.rl_core.settings.loop import ACTIVATION, TERMINAL, TRUNCATED
from banditloop.rl_core.testing.backends.fixtures import BackendFixtures, Configure
from banditloop.rl_core.testing.backends.timeline import episodic, steps, timeline
from banditloop.rl_core.testing.backends.warehouse import LONG_AGO
from banditloop.rl_core.testing.events import decisions, rewards


class EpisodeContract(BackendFixtures):
    """Checks of the port Warehouse: the episodes of transitions."""

    def test_a_terminal_event_that_came_in_time_ends_the_episode_at_its_decision(self, configure: Configure) -> None:
        warehouse = episodic(configure)
        warehouse.append("rewards", rewards(["a2"], 1.0, name=TERMINAL))
        warehouse.append("rewards", rewards(["b1"], 1.0, name=TRUNCATED))
        warehouse.append("rewards", rewards(["c0"], 0.0, name=TERMINAL))
        warehouse.append("rewards", rewards(["c1", "b0"], 1.0, name=TERMINAL, at=LONG_AGO))  # early
        ids = ["a3", "a2", "a1", "b0", "b1", "c0", "c1"]
        warehouse.append("decisions", steps(ids, [id_[0] for id_ in ids], [int(id_[1]) for id_ in ids]))
        assert _ends(warehouse) == {"a1": "", "a2": TERMINAL, "b0": "", "b1": TRUNCATED}
        assert warehouse.episode_counts(warehouse.window(None).until) == EpisodeCounts(2, 4, 2, 1, 0, 0)

    def test_windows_that_follow_each_other_have_every_episode_once(self, configure: Configure) -> None:
        warehouse = episodic(configure)
        appends: list[list[tuple[str, int]]] = [
            [("a", 0), ("b", 0)],
            [("a", 1), ("b", 1), ("c", 0)],
            [("b", 2), ("a", 2), ("b", 3)],
            [("c", 1), ("b", 4), ("d", 0)],
            [("c", 2)],
        ]
        lengths, since, windows, read = {"a": 3, "b": 4, "c": 3, "d": 9}, None, [], []
        for rows in appends:
            ids, terminal = [f"{name}{step}" for name, step in rows], [step == lengths[name] - 1 for name, step in rows]
            names, numbers = [name for name, _ in rows], [step for _, step in rows]
            warehouse.append("decisions", steps(ids, names, numbers, terminal=terminal))
            windows.append(warehouse.window(since))
            since = windows[-1].until
            read.append(_ids(warehouse, windows[-1]))
        assert read == [[], [], ["a0", "a1", "a2", "b0", "b1", "b2", "b3"], [], ["c0", "c1", "c2"]]
        assert [_ids(warehouse, window) for window in windows] == read
        assert _ids(warehouse) == [id_ for ids in read for id_ in ids]
        assert warehouse.episode_counts(windows[-1].until) == EpisodeCounts(3, 10, 1, 1, 0, 0)

    def test_an_episode_that_nothing_ended_is_truncated_after_its_window(
        self, configure: Configure, pace: float
    ) -> None:
        warehouse = episodic(configure, window_seconds=0.5 * pace)
        warehouse.append("decisions", steps(["a0", "a1"], "a", [0, 1]))
        assert _ids(warehouse) == []
        time.sleep(0.6 * pace)
        warehouse.append("decisions", steps(["a2", "b0"], ["a", "b"], [2, 0]))
        assert _ends(warehouse) == {"a0": "", "a1": TRUNCATED}
        assert warehouse.episode_counts(warehouse.window(None).until) == EpisodeCounts(1, 2, 1, 1, 0, 0)

    def test_an_episode_is_cut_off_after_its_most_steps(self, configure: Configure) -> None:
        warehouse = episodic(configure, max_steps=3)
        warehouse.append("decisions", steps(["a3", "a0"], "a", [3, 0]))
        assert _ids(warehouse) == []
        warehouse.append("decisions", steps(["a1", "a2", "a5"], "a", [1, 2, 5], terminal=[False, False, True]))
        warehouse.append("decisions", steps(["b0", "b1", "b2"], "b", [0, 1, 2], terminal=[False, False, True]))
        assert _ends(warehouse) == {"a0": "", "a1": "", "a2": TRUNCATED, "b0": "", "b1": "", "b2": TERMINAL}

    def test_of_a_step_logged_twice_the_first_decision_counts(self, configure: Configure) -> None:
        warehouse = episodic(configure)
        warehouse.append("decisions", steps(["a0"], "a", [0], at=LONG_AGO + timedelta(seconds=1)))
        warehouse.append("decisions", steps(["again", "a1"], "a", [0, 1], at=LONG_AGO, terminal=[True, True]))
        assert _ends(warehouse) == {"a0": "", "a1": TERMINAL}
        assert warehouse.episode_counts(warehouse.window(None).until).repeated == 1

    def test_shadows_inactive_decisions_and_those_of_no_episode_are_no_transitions(self, configure: Configure) -> None:
        warehouse = episodic(configure)
        warehouse.append("rewards", rewards(["a1"], name=ACTIVATION))
        warehouse.append("decisions", steps(["s0"], "a", [0], mode="shadow"))
        warehouse.append("decisions", steps(["a1", "a2"], "a", [1, 2], mode="deferred", terminal=True))
        warehouse.append("decisions", decisions(["no episode"], mode="simulated"))
        warehouse.append("decisions", steps(["no step"], "a", [None], mode="simulated"))
        until = datetime.now(UTC) + timedelta(hours=1)
        assert _ids(warehouse, Window(until=until, interactions=0)) == ["a1"]
        assert warehouse.episode_counts(until) == EpisodeCounts(1, 1, 0, 0, 0, 2)

    def test_a_decision_waits_for_its_end_though_its_reward_is_there(self, configure: Configure) -> None:
        warehouse = episodic(configure)
        warehouse.append("rewards", rewards(["a0"]))
        warehouse.append("decisions", steps(["a0"], "a", [0], mode="online"))
        assert warehouse.window(None).interactions == 0


def _ids(warehouse: Warehouse, window: Window | None = None) -> list[str]:
    return [row["event_id"] for row in timeline(warehouse, window=window)]


def _ends(warehouse: Warehouse) -> dict[str, str]:
    """How the transitions end their episodes, by event id; empty where they do not."""
    rows = timeline(warehouse)
    assert not any(row[TERMINAL] and row[TRUNCATED] for row in rows)
    return {row["event_id"]: TERMINAL * row[TERMINAL] + TRUNCATED * row[TRUNCATED] for row in rows}
