"""A policy of an on-policy agent is evaluated on logged episodes as any other: the verdict and the estimates."""

import json
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from kfp import dsl

from banditloop.components.evaluator import evaluator
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.on_policy import on_policy_step
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.rollouts import chooses, returns, rollouts
from tests.policies.test_episode_evaluation import log_episodes
from tests.support.components import artifact
from tests.support.lights import lights_config

EPISODES, CLICKS, DISCOUNT, ROUNDING = 600, 2.0, 0.9, 1e-6
DECISIONS = {"lights": "promote", "cartpole": "canary"}  # the weights of the second one's long episodes say little
AGENT = {"name": "ppo", "hidden_units": 16, "batch_size": 128, "learning_rate": 0.01}
PLAYED = {"training_loops": 6, "steps_per_loop": 30, "batch_size": 16}


class Evaluated(NamedTuple):
    """A policy, and what the evaluator decides and writes about it."""

    name: str
    config: Config
    policy: SavedPolicy
    decision: str
    summary: dict


@pytest.fixture(scope="module", params=DECISIONS)
def evaluated(request, tmp_path_factory) -> Evaluated:
    """A policy that learned from a few hundred episodes of its own, on the log of as many random ones."""
    folder, sections = tmp_path_factory.mktemp("loop"), {"agent": AGENT, "on_policy": PLAYED}
    if request.param == "cartpole":
        sections |= {"environment": {"name": "cartpole"}}
    steps = 3 if request.param == "lights" else 40
    config = lights_config(folder, steps, episodes={"metrics": ["clicks"]}, **sections)
    platform, policy = connect(config), artifact(dsl.Model, folder / "policy")
    ensure_champion(config, platform.endpoint)
    log_episodes(platform, rollouts(None, config.environment, 1, EPISODES), clicks=CLICKS)
    on_policy_step(config, platform, folder / "policy", folder / "checkpoints")
    written = {
        "evaluation": artifact(dsl.Artifact, folder / "evaluation"),
        "report": artifact(dsl.HTML, folder / "report"),
    }
    metrics = artifact(dsl.Metrics, "metrics")
    decision = evaluator.python_func(config=config.to_dict(), policy=policy, metrics=metrics, **written)
    summary = json.loads((folder / "evaluation").read_text())
    return Evaluated(request.param, config, SavedPolicy.load(folder / "policy"), decision, summary)


@pytest.fixture(scope="module")
def truths(evaluated) -> dict[str, dict[str, float]]:
    """What 20,000 episodes earn on average, by side and reward."""
    found = {}
    for side, policy in (("estimates", evaluated.policy), ("baseline_estimates", None)):
        choose, environment = chooses(policy, evaluated.config.task), evaluated.config.environment
        played = returns(choose, environment, 5, 20_000, discount=DISCOUNT)
        clicks = CLICKS * (1 - DISCOUNT**played.lengths) / (1 - DISCOUNT)  # in each step
        found[side] = {"reward": played.discounted.mean(), "clicks": clicks.mean()}
    return found


def test_the_verdict_is_that_of_the_evidence(evaluated):
    verdict = evaluated.summary["verdict"]
    assert evaluated.decision == verdict["decision"] == DECISIONS[evaluated.name]
    assert (verdict["version"], verdict["champion"]) == (evaluated.policy.manifest.version, RANDOM)


def test_all_estimates_are_finite_and_intervals_contain_the_truth(evaluated, truths):
    for side, name in product(truths, ("reward", "clicks")):
        rows, truth = evaluated.summary["returns"][name][side], truths[side][name]
        for estimator, row in rows.items():
            case = name, side, estimator
            assert np.isfinite([row["value"], row["standard_error"]]).all(), case
            is_bounded = row["low"] is not None
            assert not is_bounded or row["low"] - ROUNDING <= truth <= row["high"] + ROUNDING, case
        headline = rows["weighted_dr"]
        assert abs(headline["value"] - truth) < 4 * headline["standard_error"] + ROUNDING
        is_evident = side == "baseline_estimates" or evaluated.decision == "promote"
        assert (headline["low"] is not None) == is_evident
