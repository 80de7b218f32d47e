"""Tuning of agents that learn from episodes of their own: several learning rates as one experiment."""

import numpy as np
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.promotion.on_policy import on_policy_step
from banditloop.rl_core.tuning.episodes import episode_reward
from banditloop.rl_core.tuning.tune import tune
from tests.conftest import make_config

TOO_SMALL, GOOD = 1e-6, 0.003


@pytest.fixture
def config(tmp_path):
    return make_config(
        tmp_path,
        environment={"name": "cartpole", "max_steps": 40},
        agent={"name": "ppo", "batch_size": 128, "learning_rate": TOO_SMALL},
        on_policy={"training_loops": 4, "steps_per_loop": 20, "batch_size": 10},
        policy={"saved_model": False},
        tuning={
            "search_space": {"agent": {"learning_rate": {"values": [TOO_SMALL, GOOD]}}},
            "objective": "simulation",
            "interactions": 1000,
            "trials": 3,
            "seeds": 2,
            "test_seeds": 3,
            "pruning": "none",
        },
    )


def test_the_best_learning_rate_is_first_and_used_by_the_next_training(config, tmp_path):
    platform = connect(config)
    summary = tune(config, platform, tmp_path / "tuning")
    values = [trial["value"] for trial in summary["trials"]]
    assert len(values) == 2  # each learning rate once, although there may be three trials
    assert values == sorted(values, reverse=True)
    assert summary["metric"] == "mean reward of an episode"
    assert summary["best"] == {"agent.learning_rate": GOOD}
    assert summary["better"]
    trained = on_policy_step(config, platform, tmp_path / "policy", tmp_path / "checkpoints")
    assert trained.manifest.agent["learning_rate"] == GOOD


def test_settings_are_compared_by_the_same_episodes_of_the_policy_as_it_is_served(config):
    """A learning rate that is too small leaves the policy uniform, as full exploration makes it."""
    uniform = Config.parse(config.to_dict() | {"policy": {"exploration": 1.0}})
    rewards = [[episode_reward(settings, seed) for seed in (0, 1)] for settings in (config, config, uniform)]
    assert rewards[0] == rewards[1]
    np.testing.assert_allclose(rewards[0], rewards[2], rtol=0.05)
    assert rewards[0][0] != rewards[0][1]
