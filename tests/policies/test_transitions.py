"""Rows of the timeline become transitions, and ReAgent's own multi-step rows come out as it has them."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.transitions import transition_schema
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.policies import START
from banditloop.rl_core.training.transitions import transitions

TASK = Task.parse({"context": {"x": {"vector": 2}}, "actions": ["left", "right"], "reward_range": [-10, 10]})
ENCODING = Encoding.unfitted(TASK)


def timeline(*episodes, **columns):
    """Rows of episodes, each a list of (step, reward) with its end, and other values of some columns."""
    rows = []
    for number, (steps, end) in enumerate(episodes):
        for i, (step, reward) in enumerate(steps):
            is_last = i == len(steps) - 1
            following = None if is_last else {"x": [steps[i + 1][0], number]}
            row = {
                "event_id": f"{number}-{step}",
                "timestamp": START + timedelta(seconds=step),
                "policy_version": "v",
                "context": {"x": [step, number]},
                "candidates": ["left", "right"],
                "candidate_features": [],
                "action": "left" if step % 2 else "right",
                "propensity": 0.5,
                "probabilities": [0.5, 0.5],
                "mode": "simulated",
                "logging_probability": 1.0,
                "episode_id": f"e{number}",
                "step": step,
                "terminal": is_last and end == "terminal",
                "truncated": is_last and end == "truncated",
                "reward": reward,
                "ordinal": i,
                "steps_to_next": 0 if is_last else steps[i + 1][0] - step,
                "steps_since_first": step - steps[0][0],
                "next_context": following,
                "next_action": None if is_last else "right",
                "next_candidates": None if is_last else ["left", "right"],
                "next_candidate_features": [],
            }
            rows.append(row | {name: values[len(rows)] for name, values in columns.items()})
    return pa.Table.from_pylist(rows, transition_schema(TASK))


def section(discount=0.9, multi_step=1):
    return EpisodesSection(discount=discount, multi_step=multi_step)


def test_a_step_is_followed_by_the_next_one_its_end_or_nothing_known():
    table = timeline(([(0, 1.0), (1, 2.0)], "terminal"), ([(0, 3.0), (1, 4.0), (3, 5.0)], "truncated"))
    found = transitions(table, ENCODING, section())
    np.testing.assert_array_equal(found.observations, [[0, 0], [1, 0], [0, 1], [1, 1], [3, 1]])
    np.testing.assert_array_equal(found.next_observations[[0, 2, 3]], [[1, 0], [1, 1], [3, 1]])
    np.testing.assert_array_equal(found.actions, [1, 0, 1, 0, 0])
    np.testing.assert_array_equal(found.rewards, [1, 2, 3, 4, 5])
    np.testing.assert_allclose(found.discounts, [0.9, 0, 0.9, 0.9**2, 0])
    np.testing.assert_array_equal(found.is_known, [True, True, True, True, False])
    np.testing.assert_array_equal(found.episodes, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(found.steps, [0, 1, 0, 1, 3])
    assert found.sample_weight is None and found.eligible is None and found.next_eligible is None


def test_multi_step_returns_are_those_of_reagents_timeline_test():
    """Its lists of rewards and time differences: [1, .2, .9] and [10, 11, 12], [.2, .9] and [1, 2], [.9] and [1].

    It has no row for the last step, whose end it does not know; here that one is marked.
    """
    table = timeline(([(1, 1.0), (11, 0.2), (12, 0.9), (13, 0.4)], "truncated"))
    found = transitions(table, ENCODING, section(multi_step=3))
    expected = [1 + 0.9**10 * 0.2 + 0.9**11 * 0.9, 0.2 + 0.9 * 0.9, 0.9, 0.4]
    np.testing.assert_allclose(found.rewards, expected)
    np.testing.assert_allclose(found.discounts[:3], [0.9**12, 0.9**2, 0.9])
    np.testing.assert_array_equal(found.next_observations[:3], [[13, 0]] * 3)
    np.testing.assert_array_equal(found.is_known, [True, True, True, False])


def test_multi_step_returns_end_with_the_episode():
    table = timeline(([(0, 1.0), (1, 2.0), (2, 4.0)], "terminal"), ([(0, 8.0)], "terminal"))
    found = transitions(table, ENCODING, section(discount=0.5, multi_step=2))
    np.testing.assert_allclose(found.rewards, [1 + 0.5 * 2, 2 + 0.5 * 4, 4, 8])
    np.testing.assert_allclose(found.discounts, [0.25, 0, 0, 0])
    np.testing.assert_array_equal(found.next_observations[0], [2, 0])


def test_returns_do_not_reach_over_a_missing_decision():
    """Its next observation is still known, as the log had it before some decision was left out."""
    table = timeline(([(0, 1.0), (1, 2.0), (2, 4.0)], "terminal")).take([0, 2])
    found = transitions(table, ENCODING, section(multi_step=5))
    np.testing.assert_array_equal(found.rewards, [1, 4])
    np.testing.assert_array_equal(found.next_observations[0], [1, 0])
    np.testing.assert_array_equal(found.episodes, [0, 0])


def test_a_propensity_of_1_among_several_actions_is_unknown_if_an_application_told_it():
    table = timeline(
        ([(step, 0.0) for step in range(4)], "terminal"),
        mode=["external", "external", "external", "simulated"],
        propensity=[1.0, 1.0, 0.7, 1.0],
        candidates=[["left", "right"], ["right"], ["left", "right"], ["left", "right"]],
        probabilities=[[1.0, 0.0], [1.0], [0.3, 0.7], [1.0, 0.0]],
    )
    propensities = transitions(table, ENCODING, section()).propensities
    np.testing.assert_array_equal(propensities, [np.nan, 1, 0.7, 1])


def test_actions_that_could_not_be_chosen_are_not_eligible():
    table = timeline(
        ([(0, 0.0), (1, 0.0), (2, 0.0)], "terminal"),
        candidates=[["right"], ["left", "right"], ["right", "left"]],
        probabilities=[[1.0], [0.5, 0.5], [0.5, 0.5]],
        next_candidates=[["left", "right"], ["other", "left"], None],
    )
    found = transitions(table, ENCODING, section())
    np.testing.assert_array_equal(found.eligible, [[False, True], [True, True], [True, True]])
    np.testing.assert_array_equal(found.next_eligible, [[True, True], [True, False], [True, True]])


def test_an_unknown_action_is_refused():
    table = timeline(([(0, 0.0)], "terminal"), action=["up"])
    with pytest.raises(InvalidInput, match="interaction 0-0: unknown action up"):
        transitions(table, ENCODING, section())


def test_no_rows_are_no_transitions():
    found = transitions(transition_schema(TASK).empty_table(), ENCODING, section(multi_step=3))
    assert found.observations.shape == (0, 2)
    assert len(found.rewards) == len(found.is_known) == 0
