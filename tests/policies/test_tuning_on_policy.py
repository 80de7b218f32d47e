"""Tuning of on-policy training in an environment of single decisions: how long, and in which steps."""

import json

import numpy as np
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.promotion.on_policy import on_policy_step
from banditloop.rl_core.tuning.on_policy import on_policy_reward
from banditloop.rl_core.tuning.tune import tune
from tests.conftest import make_config

SHORT, LONG = 1, 64


@pytest.fixture
def config(tmp_path):
    return make_config(
        tmp_path,
        environment={"name": "linear", "dim": 5, "actions": 5, "contexts": 200},
        agent={"name": "linucb", "alpha": 0.5},
        on_policy={"training_loops": SHORT, "steps_per_loop": 1, "batch_size": 8},
        policy={"exploration": 0.01},
        tuning={
            "search_space": {"on_policy": {"training_loops": {"values": [SHORT, LONG]}}},
            "objective": "on_policy",
            "interactions": 2000,
            "trials": 3,
            "seeds": 2,
            "test_seeds": 3,
            "pruning": "none",
        },
    )


def test_the_longer_training_is_the_better_one_and_the_next_is_as_long(config, tmp_path):
    config = Config.parse(json.loads(json.dumps(config.to_dict()), parse_int=float))  # as it comes through KFP
    platform = connect(config)
    summary = tune(config, platform, tmp_path / "tuning")
    assert summary["metric"] == "mean reward of a policy trained on-policy"
    assert len(summary["trials"]) == 2
    assert summary["best"] == {"on_policy.training_loops": LONG}
    assert summary["better"]
    assert summary["settings"]["on_policy"] == {"training_loops": LONG}
    trained = on_policy_step(config, platform, tmp_path / "policy", tmp_path / "checkpoints")
    assert len(trained.curve.loops) == LONG
    changed = Config.parse(config.to_dict() | {"on_policy": {"training_loops": 2}})  # what the user says now counts
    assert len(on_policy_step(changed, platform, tmp_path / "other", tmp_path / "others").curve.loops) == 2


def test_policies_are_compared_on_the_same_contexts_as_they_are_served(config):
    uniform = Config.parse(config.to_dict() | {"policy": {"exploration": 1.0}})
    longer = Config.parse(config.to_dict() | {"on_policy": {"training_loops": LONG, "batch_size": 8}})
    rewards = [[on_policy_reward(settings, seed) for seed in (0, 1)] for settings in (config, config, longer, uniform)]
    assert rewards[0] == rewards[1]
    assert rewards[0][0] != rewards[0][1]
    assert np.mean(rewards[2]) > np.mean(rewards[3]) + 0.5
