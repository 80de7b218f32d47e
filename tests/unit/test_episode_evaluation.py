"""What logged episodes say about a policy: every estimator, of the reward and of metrics, raw and relative."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.episodes import EPISODE_ESTIMATORS
from banditloop.rl_core.estimators.episodes.evaluation import Side, evaluation
from banditloop.rl_core.estimators.episodes.frame import evaluate_episodes
from banditloop.rl_core.estimators.episodes.step_features import StepFeatures
from tests.support.grid_world import UNIFORM, episodes, epsilon_greedy, value

LOGGING, TARGET = epsilon_greedy(0.5), epsilon_greedy(0.2)


@pytest.fixture(scope="module")
def log():
    return episodes(LOGGING, 400, np.random.default_rng(0))


def side(log, policy):
    return Side(log, policy[log.observations.argmax(axis=1)], StepFeatures(log.observations))


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
    own = replace(side(log, LOGGING), features=None)
    assert evaluation(own)["returns"]["reward"]["difference"]["low"] == 0
    found = evaluation(target, side(log, UNIFORM))["returns"]["reward"]
    assert found["difference"]["value"] == pytest.approx(value(TARGET) - value(UNIFORM), abs=0.02)
    assert found["baseline_estimates"]["fqe"]["value"] == pytest.approx(value(UNIFORM), abs=0.02)


def test_intervals_are_told_where_they_keep_their_level(log):
    """Those of FQE and MAGIC never are; of a policy that no episode follows to its end, none is."""
    rows = evaluation(side(log, TARGET))["returns"]["reward"]["estimates"]
    assert {name for name, row in rows.items() if row["low"] is None} == {"fqe", "magic"}
    few = log.take(log.episodes < 12)
    rows = evaluation(side(few, TARGET))["returns"]["reward"]["estimates"]
    told = {name for name, row in rows.items() if row["low"] is not None}
    assert told == {"weighted_dr"}
    never = np.where(np.arange(4) == log.actions[:, None], 0.0, 1 / 3)
    found = evaluation(Side(log, never, StepFeatures(log.observations)))["returns"]["reward"]
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


@pytest.fixture(scope="module")
def columns(log):
    """The log as a table of which the rows are in no order."""
    shuffled = np.random.default_rng(1).permutation(len(log.rewards))
    state, target = log.observations.argmax(axis=1), TARGET[log.observations.argmax(axis=1)]
    found = {"episode_id": [f"e{number}" for number in log.episodes], "step": log.steps + 1, "reward": log.rewards}
    found |= {"propensity": log.propensities, "action": log.actions, "place": [f"s{each}" for each in state]}
    found |= {f"t{action}": target[:, action] for action in range(4)} | {"cost": 0 * log.rewards + 1.0}
    return {name: np.array(values)[shuffled] for name, values in found.items()}


ALL = {"action": "action", "target": {str(action): f"t{action}" for action in range(4)}}


@pytest.mark.parametrize("library", [dict, pa.table])
def test_a_table_in_any_order_has_the_estimates_of_its_episodes(library, columns, log):
    found = evaluate_episodes(library(columns), metrics=["cost"], discount=0.9, **ALL)
    returns = found.summary["returns"]
    expected = evaluation(replace(side(log, TARGET), features=None))["returns"]["reward"]["estimates"]
    for name, row in returns["reward"]["estimates"].items():
        assert row == pytest.approx(expected[name])
    lengths = np.bincount(log.episodes)
    assert returns["cost"]["logged"]["value"] == pytest.approx(np.mean((1 - 0.9**lengths) / 0.1))
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert "400 episodes" in text
    assert "The policy earns more than the log." in text
    assert "metric cost" in text


def test_with_features_values_are_fitted(columns):
    few = np.isin(columns["episode_id"], [f"e{number}" for number in range(100)])
    log = {name: values[few] for name, values in columns.items()}
    found = evaluate_episodes(log, features=["place"], discount=0.9, **ALL).summary
    assert found["primary"] == "weighted_dr"
    row = found["returns"]["reward"]["estimates"]["weighted_dr"]
    assert row["value"] == pytest.approx(value(TARGET), rel=0.02)
    assert row["low"] < row["value"] < row["high"]


def test_too_many_features_for_a_model_are_told(columns):
    few = {name: values[:200] for name, values in columns.items()}
    found = evaluate_episodes(few, features=np.ones((200, 800)), **ALL).summary
    assert found["primary"] == "per_decision_weighted_is"
    assert "no model of values" in found["warnings"][-1]


def test_probabilities_of_the_logged_action_alone_are_enough_for_weights(columns, log):
    chosen = np.choose(columns["action"], [columns[f"t{action}"] for action in range(4)])
    found = evaluate_episodes(columns, target=chosen, baseline=columns["propensity"], discount=0.9).summary
    assert found["primary"] == "per_decision_weighted_is"
    returns = found["returns"]["reward"]
    assert returns["baseline_estimates"]["weighted_is"]["value"] == pytest.approx(returns["logged"]["value"])
    assert returns["difference"]["low"] < value(TARGET) - value(LOGGING) < returns["difference"]["high"]


def test_what_was_cut_off_or_is_missing_is_told(columns):
    first, own = columns["episode_id"] == "e0", columns["propensity"]
    truncated = first & (columns["step"] == columns["step"][first].max())
    told = evaluate_episodes(columns, target=own, truncated=truncated).summary["warnings"]
    assert told == ["1 of 400 episodes were cut off: rewards count up to there, what follows does not"]
    assert evaluate_episodes(columns, target=own, terminal=0 * own).summary["warnings"][0].startswith("400 of 400")
    kept = ~(first & (columns["step"] == 2))
    some = {name: values[kept] for name, values in columns.items()}
    told = evaluate_episodes(some, target=some["propensity"]).summary["warnings"]
    assert told == ["1 of 400 episodes lack steps: weights know nothing of what was decided in these"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discount": 1.5}, "discount = 1.5: must be above 0"),
        ({"step": [0, 0, 1]}, "step, row 1: 0: the episode 'a' has it twice"),
        ({"step": [0, 0.5, 1]}, "step, row 1: 0.5: give a whole number"),
        ({"episode_id": ["a", None, "b"]}, "episode_id, row 1: None"),
        ({"episode_id": "episode"}, "episode_id = 'episode': the log has no such column; did you mean 'episode_id'"),
        ({"propensity": [0.5, 0.0, 0.5]}, "propensity"),
        ({"truncated": [1, 0, 0]}, "truncated: an episode goes on"),
        ({"terminal": [1, 1, 1]}, "terminal: an episode goes on"),
        ({"features": ["reward"]}, "features: a reward model needs the probabilities of all actions"),
        ({"level": 95}, "level = 95: must be above 0 and below 1"),
        ({"propensity": [0.5, 0.5, 1.5]}, r"propensity, row 2: 1.5: must be above 0 and at most 1"),
        ({"sample_weight": [0, 0, 0]}, "sample_weight, row 0: 0: an inverse logging probability must be above 0"),
        ({"sample_weight": [2, 2, -1]}, "sample_weight, row 2: -1: an inverse logging probability must be above 0"),
        (
            {"episode_id": ["a", "b", "a"], "step": [0, 0, 1], "sample_weight": [2, 2, 3]},
            "sample_weight, row 2: 3: its episode has 2 in row 0; give all rows of an episode the same",
        ),
        ({"episode_id": ["a", "b"]}, "step: of length 3; give one value for each of 2 decisions"),
        ({"step": [0, 1, 0, 1]}, "step: of length 4; give one value for each of 3 decisions"),
        ({"reward": [0, 1, 1, 1]}, "reward: of length 4; give one value for each of 3 decisions"),
        ({"target": [0.5, 0.4]}, "target: of length 2; give one value for each of 3 decisions"),
        ({"metrics": {"cost": [1, 2]}}, "metrics.cost: of length 2; give one value for each of 3 decisions"),
        ({"metrics": "rewards"}, "metrics.rewards = 'rewards': the log has no such column; did you mean 'reward'"),
        (
            {"target": np.full((3, 2), 0.5), "action": [0, 1, 0], "features": np.ones((2, 1))},
            "features: of length 2; give one value for each of 3 decisions",
        ),
    ],
)
def test_tables_that_are_not_of_episodes_are_refused(changes, message):
    log = {"episode_id": ["a", "a", "b"], "step": [0, 1, 0], "reward": [0, 1, 1]}
    log |= {"propensity": [0.5, 0.5, 0.5], "target": [0.5, 0.4, 0.3]}
    with pytest.raises(InvalidInput, match=message):
        evaluate_episodes(log, **changes)
