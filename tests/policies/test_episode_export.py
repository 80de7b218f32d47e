"""The ingester on a log of episodes: transitions as examples, counts of what is left out, the audit."""

import numpy as np
import orjson
import pyarrow as pa
import pytest

from banditloop.functions.logger import log_events
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.examples import example_files, read_transitions
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.events.transitions import transition_schema
from banditloop.rl_core.serving.reward_request import read_rewards
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.testing.backends.timeline import steps
from banditloop.rl_core.training.export import export_log
from tests.conftest import rewards

TASK = {"actions": ["left", "right"], "context": {"x": "number"}, "reward_range": [0, 1]}
EPISODES, LENGTH = 60, 4
METRICS = ["taps"]


@pytest.fixture
def config(tmp_path):
    backend, agent = {"root": str(tmp_path / "loop")}, {"name": "ppo"}
    return Config.parse({"task": TASK, "backend": backend, "agent": agent, "episodes": {"metrics": METRICS}})


def append_log(platform, config, biased=False):
    """Sixty episodes of four steps; in the first one, a reward is outside the range; the last one goes on."""
    ids = [f"{episode}-{step}" for episode in range(EPISODES) for step in range(LENGTH)]
    actions = np.random.default_rng(0).choice(["left", "right"], len(ids), p=[0.95, 0.05] if biased else [0.5, 0.5])
    terminal = [step == LENGTH - 1 and episode < EPISODES - 1 for episode in range(EPISODES) for step in range(LENGTH)]
    platform.warehouse.append("rewards", rewards(ids[2:], 1.0))
    platform.warehouse.append("rewards", rewards(ids[:1], 3.0))
    platform.warehouse.append("rewards", rewards(ids[5:6], 7.0, name="taps"))
    episodes = [id_.partition("-")[0] for id_ in ids]
    fields = {"action": actions, "candidates": pa.array([["left", "right"]] * len(ids)), "terminal": terminal}
    fields |= {"propensity": 0.5, "probabilities": [[0.5, 0.5]] * len(ids)}
    contexts = [{"x": float(row)} for row in range(len(ids))]
    platform.warehouse.append(
        "decisions", steps(ids, episodes, [0, 1, 2, 3] * EPISODES, task=config.task, context=contexts, **fields)
    )


def test_the_ingester_writes_the_transitions_of_usable_episodes(config, tmp_path):
    platform, folder = connect(config), tmp_path / "examples"
    append_log(platform, config)
    export = export_log(config, platform, (None, None), folder)
    window = platform.warehouse.window(None)
    expected = pa.Table.from_batches(
        platform.warehouse.transitions(window, "training"), transition_schema(config.task, METRICS)
    ).to_pylist()
    kept = [row for row in expected if row["episode_id"] != "0"]
    read = pa.concat_tables(read_transitions(example_files(folder), config.task, METRICS))
    assert read.schema == transition_schema(config.task, METRICS)
    assert read.to_pylist() == kept
    assert export.metadata["kind"] == "transitions"
    held_out = sum(is_held_out(str(episode), config.gate.holdout_fraction) for episode in range(EPISODES - 1))
    assert not is_held_out("0", config.gate.holdout_fraction)
    assert export.metrics == {
        "interactions": LENGTH * (EPISODES - held_out - 2),
        "episodes": EPISODES - 1,
        "unfinished": LENGTH,
        "after_end": 0,
        "repeated": 0,
        "without_episode": 0,
        "outside_range": 1,
        "broken_episode": LENGTH - 1,
    }


def test_the_audit_stops_a_log_of_episodes_with_wrong_propensities(config, tmp_path):
    platform = connect(config)
    append_log(platform, config, biased=True)
    with pytest.raises(InvalidInput, match="propensity audit: logged propensities contradict the actions of v1-a"):
        export_log(config, platform, (None, None), tmp_path / "examples")


def test_a_log_without_a_complete_episode_says_what_it_has(config, tmp_path):
    platform = connect(config)
    platform.warehouse.append(
        "decisions",
        steps(
            ["a"],
            "a",
            [0],
            task=config.task,
            context={"x": 1.0},
            action="left",
            candidates=[["left", "right"]],
            probabilities=[[0.5, 0.5]],
        ),
    )
    with pytest.raises(InvalidInput, match=r"no episode to learn from is complete \(0 episodes, .* 1 unfinished"):
        export_log(config, platform, (None, None), tmp_path / "examples")


def test_only_the_weighted_sum_of_rewards_must_be_in_the_range(config):
    body = b'{"rewards": [{"event_id": "0-0", "value": 500.0}]}'
    weighted = config.model_copy(update={"episodes": EpisodesSection(rewards={"reward": 0.001})})
    assert config.judged_reward == config.reward
    with pytest.raises(InvalidInput, match=r"is outside task\.reward_range, 0 to 1"):
        read_rewards(body, config.task, config.reward)
    platform, payload = connect(weighted), orjson.dumps(read_rewards(body, config.task, config.reward, in_range=False))
    added = [
        log_events(config.task, platform, "rewards", [payload], reward=loop.judged_reward)
        for loop in (config, weighted)
    ]
    assert added == [0, 1]
    platform.warehouse.append(
        "decisions",
        steps(
            ["0-0"],
            "0",
            [0],
            task=config.task,
            context={"x": 1.0},
            terminal=True,
            action="left",
            candidates=[["left", "right"]],
        ),
    )
    [row] = pa.Table.from_batches(platform.warehouse.transitions(platform.warehouse.window(None))).to_pylist()
    assert row["reward"] == 0.5
