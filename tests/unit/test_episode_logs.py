"""Logs of episodes in files: ReAgent's table, Gymnasium's rollouts, and the timeline of either."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.transitions import transition_schema
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.logs.transitions import transitions
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task
from tests.support.reagent import ROWS, write

TASK = Task.parse(
    {
        "actions": ["left", "right"],
        "reward_range": [0, 5],
        "context": {"state_features_1": "number", "state_features_2": "number"},
    },
    "task",
)
EPISODES, REWARD = EpisodesSection(metrics=["taps"]), RewardSection()


def order(row):
    return row["episode_id"], row["step"]


def timeline(log, left_out=None, episodes=EPISODES):
    batches = transitions(
        log.events("reward", "x"), log.task, episodes, REWARD, Counter() if left_out is None else left_out
    )
    return pa.Table.from_batches(batches, transition_schema(log.task, episodes.metrics)).to_pylist()


def steps(rows):
    return [(row["episode_id"], row["step"], row["ordinal"], row["steps_to_next"]) for row in rows]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_reagents_table_gives_the_same_timeline_from_any_file(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    write(path, ROWS)
    log = LogFiles([path], TASK, format="reagent", rewards=["taps"])
    rows = timeline(log)
    assert steps(rows) == [("x-b", 0, 0, 1), ("x-b", 1, 1, 0), ("x-a", 0, 0, 1), ("x-a", 1, 1, 0)]
    mapped = LogFiles([path], TASK, {"step": "sequence_number"}, format="reagent", rewards=["taps"])
    assert steps(timeline(mapped)) == [("x-b", 3, 0, 4), ("x-b", 7, 1, 0), ("x-a", 1, 0, 10), ("x-a", 11, 1, 0)]
    assert [row["context"] for row in rows[2:]] == [
        {"state_features_1": 1.5, "state_features_2": None},
        {"state_features_1": 2.5, "state_features_2": 7.0},
    ]
    assert rows[2]["next_context"] == rows[3]["context"]
    assert [row["reward"] for row in rows] == [0, 2, 1, 0.2]
    assert [row["metrics"]["taps"] for row in rows] == [None, 3, 1, None]
    assert [row["candidates"] for row in rows] == [["left", "right"]] * 3 + [["right"]]
    assert [row["propensity"] for row in rows] == [0.5, 1, 0.8, 1]  # of an unknown one, all of it
    assert [row["probabilities"] for row in rows[:2]] == [[0.5, 0.5], [0, 1]]
    assert [(row["terminal"], row["truncated"]) for row in rows] == [(False, False), (True, False)] * 2
    assert {row["timestamp"].isoformat() for row in rows} == {"2026-01-01T00:00:00+00:00"}


def test_the_last_step_of_a_table_may_be_said_to_be_cut_off(tmp_path):
    write(tmp_path / "rows.jsonl", ROWS)
    rows = timeline(
        LogFiles([tmp_path / "rows.jsonl"], TASK, format="reagent", rewards=["taps"], last_step="truncated")
    )
    assert [(row["terminal"], row["truncated"]) for row in rows] == [(False, False), (False, True)] * 2


def test_metrics_that_no_config_has_are_refused(tmp_path):
    write(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(InvalidInput, match=r"columns metrics\.taps: are neither mapped nor features"):
        timeline(LogFiles([tmp_path / "rows.jsonl"], TASK, format="reagent"))


def test_a_step_that_is_no_whole_number_is_refused(tmp_path):
    write(tmp_path / "rows.jsonl", [ROWS[0] | {"sequence_number": 1.5}])
    log = LogFiles([tmp_path / "rows.jsonl"], TASK, format="reagent", rewards=["taps"])
    with pytest.raises(InvalidInput, match=r"line 1: sequence_number = 1\.5: give a whole number from 0 on"):
        timeline(log)


def test_rollouts_of_gymnasium_are_read_by_the_names_of_their_columns(tmp_path):
    """The first episode ends, and the second is cut off; steps are counted if no column has them."""
    table = {
        "observation": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]],
        "action": [0, 1, 1, 0],
        "reward": [1.0, 1.0, 1.0, 1.0],
        "terminated": [False, True, False, False],
        "truncated": [False, False, False, True],
        "episode_id": [0, 0, 1, 1],
        "step": [0, 1, 0, 1],
    }
    task = Task.parse({"actions": 2, "context": {"observation": {"vector": 2}}}, "task")
    for columns in (table, {name: values for name, values in table.items() if name != "step"}):
        pa.parquet.write_table(pa.table(columns), tmp_path / "rollouts.parquet")
        log = LogFiles([tmp_path / "rollouts.parquet"], task)
        batches = transitions(log.events("reward", "x", "uniform"), task, EpisodesSection(), REWARD, Counter())
        rows = pa.Table.from_batches(batches).to_pylist()
        assert [row["context"]["observation"] for row in rows] == table["observation"]
        assert [(row["terminal"], row["truncated"], row["step"]) for row in rows] == [
            (False, False, 0),
            (True, False, 1),
            (False, False, 0),
            (False, True, 1),
        ]
        assert {row["propensity"] for row in rows} == {0.5}


@pytest.mark.parametrize("seed", range(3))
def test_the_timeline_of_a_file_is_that_of_the_warehouse(tmp_path, seed):
    """Steps in any order, twice, after the end, of more than the most steps, and decisions of no episode."""
    random = np.random.default_rng(seed)
    count, task = 200, Task.parse({"actions": 2, "context": {"x": "number"}}, "task")
    columns = {
        "event_id": [str(row) for row in range(count)],
        "timestamp": 1.8e9 + np.arange(count),
        "x": random.normal(size=count),
        "action": random.integers(0, 2, count),
        "reward": random.random(count).round(3),
        "propensity": np.full(count, 0.5),
        "episode_id": pa.array(random.integers(0, 20, count).astype(str), mask=random.random(count) < 0.1),
        "step": random.integers(0, 15, count),
        "terminal": random.random(count) < 0.05,
        "truncated": random.random(count) < 0.05,
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "log.parquet")
    log, episodes, left_out = LogFiles([tmp_path / "log.parquet"], task), EpisodesSection(max_steps=6), Counter()
    rows = timeline(log, left_out, episodes)
    config = Config.parse({"task": task.model_dump(), "backend": {"root": str(tmp_path / "loop")}})
    warehouse = connect(config.model_copy(update={"episodes": episodes})).warehouse
    for decisions, rewards, _ in log.events("reward", "x"):
        warehouse.append("rewards", rewards)
        warehouse.append("decisions", decisions)
    later = datetime.now(UTC) + timedelta(days=2)  # when every episode is complete
    expected = pa.Table.from_batches(warehouse.transitions(Window(until=later, interactions=0))).to_pylist()
    assert sorted(rows, key=order) == sorted(expected, key=order)
    counts = warehouse.episode_counts(later)
    assert counts.unfinished == 0
    assert left_out == {name: getattr(counts, name) for name in ("repeated", "after_end", "without_episode")}
