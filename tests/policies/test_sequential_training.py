"""The trainer on transitions of episodes: all files at once, in whatever order, in a process or as a custom job."""

import numpy as np
import pyarrow as pa
import pytest

from banditloop.rl_core.agents.dqn import DQN
from banditloop.rl_core.agents.fitted_q import FittedQ
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.examples import are_transitions, example_files, read_transitions, write_examples
from banditloop.rl_core.events.table_file import TableFile
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.rollouts import returns, rollouts
from banditloop.rl_core.rollouts.play import greedily
from banditloop.rl_core.training.hyperparameters import with_hyperparameters
from banditloop.rl_core.training.policy import train_policy
from banditloop.rl_core.training.shards import merge_shards, seed_shards, train_here, train_shard
from banditloop.rl_core.training.train import initial_statistics
from banditloop.rl_core.training.training import Training
from tests.conftest import assert_same
from tests.support.offline_cartpole import learned, timeline

CONFIG = Config.parse(
    {
        "environment": {"name": "cartpole", "max_steps": 50},
        "agent": {
            "name": "dqn",
            "hidden_layers": 1,
            "hidden_units": 32,
            "gradient_steps": 300,
            "batch_size": 256,
            "learning_rate": 0.02,
        },
        "policy": {"saved_model": False},
    }
)


@pytest.fixture(scope="module")
def table():
    return timeline(CONFIG, seed=0, episodes=60)


@pytest.fixture(scope="module")
def examples(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples") / "one"
    write_examples(table.to_batches(), folder)
    return folder


def test_the_agent_of_a_config_with_episodes_is_dqn():
    assert Config.parse({"environment": {"name": "cartpole"}}).agent.name == "dqn"
    assert Config.parse({"task": CONFIG.task, "episodes": {}}).agent.name == "dqn"


def test_a_policy_trained_on_the_log_keeps_the_pole_up_for_longer(examples, tmp_path):
    manifest, _ = train_policy(CONFIG, None, examples, tmp_path / "policy", {})
    policy = SavedPolicy.load(tmp_path / "policy")
    assert policy.manifest.version == manifest.version
    played = returns(greedily(policy, CONFIG.task), CONFIG.environment, seed=1, episodes=50)
    random = rollouts(None, CONFIG.environment, seed=1, episodes=50).num_rows / 50
    assert played.lengths.mean() > 1.5 * random


def test_the_files_and_their_order_do_not_matter(table, examples, tmp_path, monkeypatch):
    """A file may end in the middle of an episode."""
    encoding = Training.on_examples(CONFIG, examples, None, None, TableFile().read).encoding
    monkeypatch.setattr("banditloop.rl_core.events.examples.ROWS_PER_FILE", 577)
    numbers = np.array([int(name.rpartition("-")[2]) for name in table["episode_id"].to_pylist()])
    write_examples(table.take(np.argsort(-numbers, kind="stable")).to_batches(), tmp_path / "many")
    assert len(list((tmp_path / "many").glob("*.tfrecord"))) > 1
    once = train_here(CONFIG, examples, encoding, None)
    assert_same(train_here(CONFIG, tmp_path / "many", encoding, None), once)
    work = tmp_path / "work"
    seed_shards(CONFIG, work, initial_statistics(CONFIG, encoding, None), encoding)
    train_shard(CONFIG, tmp_path / "many", work, 0, 1)
    train_shard(CONFIG, tmp_path / "many", work, 0, 1)  # as after a preemption: nothing is left to do
    assert_same(merge_shards(CONFIG, tmp_path / "many", work, 1), once)


def test_arrow_files_have_the_same_transitions(table, examples, tmp_path):
    write_examples(table.to_batches(), tmp_path, "arrow")
    files, arrow_files = example_files(examples), example_files(tmp_path)
    assert are_transitions(arrow_files)
    read, same = (pa.concat_tables(read_transitions(some, CONFIG.task)) for some in (files, arrow_files))
    assert read.to_pylist() == same.to_pylist()


def test_examples_of_another_kind_than_the_agent_learns_from_are_refused(examples, tmp_path):
    write_examples(rollouts(None, CONFIG.environment, seed=0, episodes=3).to_batches(), tmp_path / "single")
    with pytest.raises(InvalidInput, match=r"examples: the agent 'dqn' learns from transitions of episodes"):
        train_policy(CONFIG, None, tmp_path / "single", tmp_path / "policy", {})
    bandit = Config.parse({"task": CONFIG.task, "agent": {"name": "linucb"}})
    with pytest.raises(InvalidInput, match=r"examples: the agent 'linucb' learns from single decisions"):
        train_policy(bandit, None, examples, tmp_path / "policy", {})
    assert not (tmp_path / "policy").exists()


@pytest.mark.slow
def test_the_pole_is_balanced_after_150_random_episodes():
    """Two of the seeds of `make bench-sequential`, which asks for a mean of 160 of 200 steps, and at least 100."""
    assert min(learned(seed, 150, {"name": "dqn"}).length for seed in (0, 1)) >= 150


def test_hyperparameters_of_a_config_without_an_agent_are_those_of_dqn():
    values = with_hyperparameters({"environment": {"name": "cartpole"}}, hyperparameters={"gradient_steps": 20.0})
    assert Config.parse(values).agent == DQN(gradient_steps=20)
    values = with_hyperparameters(values, agent="fitted_q", hyperparameters={"features": 20.0})
    assert Config.parse(values).agent == FittedQ(features=20)
