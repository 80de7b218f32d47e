"""What logged episodes say about a policy: every estimator, of the reward and of metrics, raw and relative."""

from dataclasses import replace

import numpy as np
import pytest

from banditloop.rl_core.estimators.episodes import EPISODE_ESTIMATORS
from banditloop.rl_core.estimators.episodes.evaluation import Side, evaluation
from tests.support.grid_world import UNIFORM, episodes, epsilon_greedy, value

LOGGING, TARGET = epsilon_greedy(0.5), epsilon_greedy(0.2)


@pytest.fixture(scope="module")
def log():
    return episodes(LOGGING, 400, np.random.default_rng(0))


def side(log, policy):
    return Side(log, policy[log.observations.argmax(axis=1)], log.observations)


def test_estimates_of_the_reward_and_of_metrics_raw_and_relative_to_the_log(log):
    target, twice = side(log, TARGET), {"twice": 2 * log.rewards}
    found = evaluation(target, metrics=twice)["returns"]
    assert list(found) == ["reward", "twice"]
    for name, row in found["reward"]["estimates"].items():
        assert row["relative_value"] == pytest.approx(row["value"] / found["reward"]["logged"]["value"])
        assert found["twice"]["estimates"][name]["value"] == pytest.approx(2 * row["value"])
        assert found["twice"]["estimates"][name]["relative_value"] == pytest.approx(row["relative_value"])
    first = found["reward"]["estimates"]["weighted_dr"]
    assert first["value"] == pytest.approx(value(TARGET), abs=0.02)
    assert first["relative_value"] == pytest.approx(value(TARGET) / value(LOGGING), abs=0.1)
    difference = found["reward"]["difference"]
    assert difference["low"] < value(TARGET) - value(LOGGING) < difference["high"]


def test_a_policy_does_not_differ_from_itself(log):
    target = side(log, TARGET)
    assert evaluation(target, target)["returns"]["reward"]["difference"] == dict.fromkeys(
        ("value", "standard_error", "low", "high"), 0
    )
    found = evaluation(target, side(log, UNIFORM))["returns"]["reward"]
    assert found["difference"]["value"] == pytest.approx(value(TARGET) - value(UNIFORM), abs=0.02)
    assert found["baseline_estimates"]["fqe"]["value"] == pytest.approx(value(UNIFORM), abs=0.02)


def test_intervals_are_told_where_they_keep_their_level(log):
    """Those of FQE and MAGIC never are; of a policy that no episode follows to its end, none is."""
    rows = evaluation(side(log, TARGET))["returns"]["reward"]["estimates"]
    assert {name for name, row in rows.items() if row["low"] is None} == {"fqe", "magic"}
    few = log.take(log.episodes < 12)
    rows = evaluation(side(few, TARGET))["returns"]["reward"]["estimates"]
    assert {name for name, row in rows.items() if row["low"] is not None} == {"weighted_dr"}
    never = np.where(np.arange(4) == log.actions[:, None], 0.0, 1 / 3)
    found = evaluation(Side(log, never, log.observations))["returns"]["reward"]
    assert all(row["low"] is None for row in [*found["estimates"].values(), found["difference"]])


def test_without_a_model_the_first_estimate_is_self_normalised(log):
    target = side(log, TARGET)
    found = evaluation(replace(target, features=None))
    assert found["primary"] == "per_decision_weighted_is"
    assert list(found["returns"]["reward"]["estimates"]) == [
        "per_decision_weighted_is",
        "weighted_is",
        "per_decision_is",
    ]
    assert evaluation(target)["primary"] == "weighted_dr"
    assert list(evaluation(target)["returns"]["reward"]["estimates"]) == list(EPISODE_ESTIMATORS)


def test_a_return_of_0_has_nothing_relative_to_it(log):
    rows = evaluation(side(log, TARGET), metrics={"none": np.zeros(len(log.rewards))})["returns"]["none"]["estimates"]
    assert {row["value"] for row in rows.values()} == {0}
    assert {row["relative_value"] for row in rows.values()} == {None}
