"""The contract suite of episodes: which decisions are in them, how they end, and when they are complete."""

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

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
        ends = [rewards(["a2"], name=TERMINAL), rewards(["b1"], name=TRUNCATED), rewards(["c0"], 0.0, name=TERMINAL)]
        early = rewards(["c1", "b0"], name=TERMINAL, at=LONG_AGO)
        warehouse.append("rewards", pa.concat_tables([*ends, early]))
        ids = ["a3", "a2", "a1", "b0", "b1", "c0", "c1"]
        warehouse.append("decisions", steps(ids, [id_[0] for id_ in ids], [int(id_[1]) for id_ in ids]))
        assert _ends(warehouse) == {"a1": "", "a2": TERMINAL, "b0": "", "b1": TRUNCATED}
        assert warehouse.episode_counts(warehouse.window(None).until) == EpisodeCounts(2, 4, 2, 1, 0, 0)

    def test_a_step_that_was_logged_after_a_later_one_counts_in_the_windows_after_it(
        self, configure: Configure
    ) -> None:
        """Several processes serve one episode, and each logs its decisions by itself."""
        warehouse = episodic(configure)
        warehouse.append("decisions", steps(["a0", "a2"], "a", [0, 2], terminal=[False, True]))
        before = warehouse.window(None)
        warehouse.append("decisions", steps(["a1", "a3"], "a", [1, 3], terminal=[True, True]))
        assert (_ids(warehouse, before), _ids(warehouse)) == (["a0", "a2"], ["a0", "a1", "a2"])
        assert _ids(warehouse, warehouse.window(before.until)) == []

    def test_windows_that_follow_each_other_have_every_episode_once(self, configure: Configure) -> None:
        """Against the contract in plain Python, of a random log: steps repeated, in any order, after the end."""
        random, max_steps = np.random.default_rng(0), 5
        warehouse, since, logged = episodic(configure, max_steps=max_steps), None, list[LoggedStep]()
        read: list[tuple[Window, list[str]]] = []
        for append in range(3):
            new = [LoggedStep.draw(random, append, row) for row in range(30)]
            columns = [list(column) for column in zip(*new, strict=True)]
            warehouse.append("decisions", steps(columns[1], columns[2], columns[3], terminal=columns[4]))
            logged, window = logged + new, warehouse.window(since)
            read, since = [*read, (window, _ids(warehouse, window))], window.until
            assert read[-1][1] == expected_ids(logged, append, max_steps)
        assert all(ids for _, ids in read)
        assert _ids(warehouse, read[1][0]) == read[1][1]
        assert sum(warehouse.episode_counts(window.until)[1:]) == len(logged)

    def test_an_episode_that_nothing_ended_is_truncated_after_its_window(self, configure: Configure) -> None:
        warehouse = episodic(configure, window_seconds=0.2)
        warehouse.append("decisions", steps(["a0", "a1"], "a", [0, 1]))
        assert _ids(warehouse) == []
        time.sleep(0.3)
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
        deferred = steps(["a1", "a2"], "a", [1, 2], mode="deferred", terminal=True)
        alone = [decisions(["no episode"], mode="simulated"), steps(["no step"], "a", [None])]
        warehouse.append("decisions", pa.concat_tables([steps(["s0"], "a", [0], mode="shadow"), deferred, *alone]))
        until = datetime.now(UTC) + timedelta(hours=1)
        assert _ids(warehouse, Window(until=until, interactions=0)) == ["a1"]
        assert warehouse.episode_counts(until) == EpisodeCounts(1, 1, 0, 0, 0, 2)

    def test_the_ids_of_episodes_are_those_of_the_windows_interactions(self, configure: Configure) -> None:
        warehouse = episodic(configure)
        warehouse.append("decisions", steps(["a0", "a1", "b0"], ["a", "a", "b"], [0, 1, 0]))
        before = warehouse.window(None)
        deferred = steps(["d0"], "d", [0], mode="deferred")
        shown = [steps(["b1", "c0"], ["b", "c"], [1, 0]), decisions(["no episode"], mode="simulated")]
        warehouse.append("decisions", pa.concat_tables([*shown, steps(["s0"], "s", [0], mode="shadow"), deferred]))
        after = Window(since=before.until, until=datetime.now(UTC) + timedelta(hours=1), interactions=0)
        for window, expected in ((before, ["a", "b"]), (after, ["b", "c"])):
            assert sorted(warehouse.episode_ids(window).to_pylist()) == expected
        assert warehouse.episode_ids(Window(since=after.until, until=after.until, interactions=0)).to_pylist() == []

    def test_a_decision_waits_for_its_end_though_its_reward_is_there(self, configure: Configure) -> None:
        warehouse = episodic(configure)
        warehouse.append("rewards", rewards(["a0"]))
        warehouse.append("decisions", steps(["a0"], "a", [0], mode="online"))
        assert warehouse.window(None).interactions == 0


class LoggedStep(NamedTuple):
    """A decision of a random log, and the append that stored it."""

    append: int
    event_id: str
    episode: str
    step: int
    terminal: bool

    @classmethod
    def draw(cls, random: np.random.Generator, append: int, row: int) -> Self:
        """One of a few episodes and steps, which ends the episode now and then."""
        episode, step = str(random.integers(6)), int(random.integers(8))
        return cls(append, f"{append}-{row:02}", episode, step, bool(random.random() < 0.1))


def expected_ids(logged: list[LoggedStep], append: int, max_steps: int) -> list[str]:
    """The ids of the transitions of the episodes that became complete with an append, in order."""
    ids: list[str] = []
    for episode in sorted({row.episode for row in logged}):
        rows: dict[int, LoggedStep] = {}
        for row in logged:  # in the order of their appends and ids
            if row.episode == episode:
                rows.setdefault(row.step, row)
        by_time = sorted(rows.values(), key=lambda row: (row.append, row.step))
        complete = [row.append for number, row in enumerate(by_time, 1) if row.terminal or number == max_steps]
        if complete and min(complete) == append:
            last = min((row.step for row in by_time if row.terminal and row.append <= append), default=max(rows))
            ids += [rows[step].event_id for step in sorted(rows) if step <= last][:max_steps]
    return ids


def _ids(warehouse: Warehouse, window: Window | None = None) -> list[str]:
    return [row["event_id"] for row in timeline(warehouse, window=window)]


def _ends(warehouse: Warehouse) -> dict[str, str]:
    """How the transitions end their episodes, by event id; empty where they do not."""
    rows = timeline(warehouse)
    assert not any(row[TERMINAL] and row[TRUNCATED] for row in rows)
    return {row["event_id"]: TERMINAL * row[TERMINAL] + TRUNCATED * row[TRUNCATED] for row in rows}
