"""Serving a champion and a challenger: whatever is wrong with the challenger, users see nothing of it."""

from dataclasses import replace

import numpy as np
import pytest

from rl_core.policy import SavedPolicy
from rl_core.serving import Served, Serving
from tests.conftest import make_policy

ROWS = 200


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    for generation in (1, 2):
        make_policy(folder / str(generation), generation, seed=generation)
    return [SavedPolicy.load(folder / str(generation)) for generation in (1, 2)]


def decide(serving, users=None):
    observations = np.random.default_rng(0).normal(size=(ROWS, 20)).astype(np.float32)
    places = np.random.default_rng(1).random((ROWS, 2))
    return serving.decide(range(ROWS), observations, users or [None] * ROWS, places)


def broken(policy):
    """One that was trained for observations of another length."""
    model = replace(policy.model, theta=policy.model.theta[:, :3], whitening=policy.model.whitening[:3, :, :3])
    return SavedPolicy(policy.manifest, model)


@pytest.mark.parametrize("share", [0, 1, 50, 99])
def test_every_row_is_answered_once_by_the_version_that_it_was_given_to(policies, share):
    parts = decide(Serving(*map(Served, policies), share))
    shown = [part for part in parts if part.mode == "online"]
    assert sorted(np.concatenate([part.rows for part in shown])) == list(range(ROWS))
    answered = {part.version: len(part.rows) for part in shown}
    expected = ROWS * share / 100
    error = 4 * np.sqrt(ROWS * share * (100 - share)) / 100
    assert abs(answered.get(policies[1].manifest.version, 0) - expected) <= error
    assert [len(part.rows) for part in parts if part.mode == "shadow"] == ([ROWS] if share == 0 else [])


@pytest.mark.parametrize("share", [0, 50])
def test_where_the_challenger_fails_the_champion_answers_and_the_failures_count(policies, share):
    champion, challenger = Served(policies[0]), Served(broken(policies[1]))
    parts = decide(Serving(champion, challenger, share))
    assert {part.version for part in parts} == {policies[0].manifest.version}
    assert sum(len(part.rows) for part in parts) == ROWS
    assert challenger.failures == challenger.decisions > 0
    assert champion.failures == 0


def test_decisions_are_those_of_the_policies_and_their_time_is_taken(policies):
    champion, challenger = map(Served, policies)
    assert champion.milliseconds() == 0  # too few to tell
    for part in [part for _ in range(20) for part in decide(Serving(champion, challenger, 50))]:
        policy = policies[part.version == policies[1].manifest.version]
        observations = np.random.default_rng(0).normal(size=(ROWS, 20)).astype(np.float32)[part.rows]
        np.testing.assert_array_equal(part.decisions.probabilities, policy.probabilities(observations))
    assert champion.decisions + challenger.decisions == 20 * ROWS
    assert 0 < champion.milliseconds() < 1000
