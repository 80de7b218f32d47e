"""The command `play`: what episodes earn, and their log."""

import json

import numpy as np
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from banditloop.pipelines.cli import watched
from banditloop.pipelines.cli.main import app
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.rollouts import IN_PROCESS, returns, rollouts, uniformly
from tests.support.sequential_agents import Idle


@pytest.fixture
def config(tmp_path):
    values = {"environment": {"name": "cartpole", "max_steps": 30}, "agent": {"name": f"{Idle.__module__}:Idle"}}
    values |= {"backend": {"root": str(tmp_path / "loop")}, "episodes": {"discount": 0.9}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    return Config.parse(values)


def play(tmp_path, *options):
    words = ["play", "-c", tmp_path / "config.json", "--json", *options]
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


def test_a_policy_plays_the_same_episodes_as_random_choice(config, tmp_path):
    endpoint = connect(config).endpoint
    ensure_champion(config, endpoint)
    random, served, greedy = play(tmp_path, "--policy", endpoint.policy("random"), "--episodes", 40, "--seed", 3)
    expected = returns(uniformly, CartPole(max_steps=30), seed=3, episodes=40, discount=0.9)
    assert (random["choice"], served["choice"], greedy["choice"]) == ("random", "as served", "greedy")
    assert random["return"] == random["steps"] == expected.lengths.mean()
    assert random["discounted"] == expected.discounted.mean()
    assert random["difference"] is None
    assert random["error"] == expected.undiscounted.std(ddof=1) / 40**0.5
    assert (served["return"], served["difference"]) == (random["return"], 0.0)  # it is the random policy
    assert greedy["steps"] < 12, "it always pushes to the left"


def test_episodes_are_the_same_however_many_are_played_at_a_time(config, monkeypatch):
    shown, environment = [], CartPole(max_steps=30)
    watched_engine = watched.WatchedEngine(IN_PROCESS, "playing", lambda *done: shown.append(done))
    monkeypatch.setattr(watched, "FIRST", 7)
    parts = returns(uniformly, environment, seed=3, episodes=40, engine=watched_engine)
    for part, whole in zip(parts, returns(uniformly, environment, seed=3, episodes=40), strict=True):
        np.testing.assert_array_equal(part, whole)
    assert (shown[0], shown[1], shown[-1]) == tuple(("playing", done, 40, "episodes") for done in (0, 7, 40))
    tables = [rollouts(None, environment, seed=3, episodes=40, engine=each) for each in (watched_engine, IN_PROCESS)]
    assert tables[0].equals(tables[1])


def test_the_log_has_a_column_for_each_feature(config, tmp_path):
    [random] = play(tmp_path, "--episodes", 20, "--log", tmp_path / "log.parquet")
    log = pyarrow.parquet.read_table(tmp_path / "log.parquet")
    assert log.num_rows == round(20 * random["steps"])
    assert set(config.task.context) < set(log.column_names)
    assert {"action", "propensity", "reward", "episode_id", "step", "terminal", "truncated"} < set(log.column_names)
    assert len(set(log["episode_id"].to_pylist())) == 20


def test_wrong_input_is_refused_before_anything_is_played(config, tmp_path):
    for path in (tmp_path / "log.csv", tmp_path / "nowhere" / "log.parquet"):
        with pytest.raises(InvalidInput, match=r"give a \.parquet file in a folder that exists"):
            play(tmp_path, "--log", path)
    (tmp_path / "config.json").write_text(json.dumps({"environment": {"name": "linear"}}))
    with pytest.raises(
        InvalidInput, match=r"^environment\.name = 'linear': has no episodes; play needs a sequential one"
    ):
        play(tmp_path)
