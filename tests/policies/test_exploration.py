"""Exploration: the probabilities that scores become, in NumPy as in TensorFlow."""

from functools import partial

import numpy as np
import pytest

from banditloop.rl_core.agents import exploration

RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(200, 6))
ELIGIBLE = RANDOM.random((200, 6)) < 0.5
ELIGIBLE[np.arange(200), RANDOM.integers(6, size=200)] = True
EVERY = {
    "uniform": exploration.uniform,
    "greedy": exploration.greedy,
    "epsilon greedy": partial(exploration.epsilon_greedy, epsilon=0.2),
    "softmax": partial(exploration.softmax, temperature=0.5),
    "inverse gap": partial(exploration.inverse_gap, gamma=7.0),
    "inverse gap, gamma 0": partial(exploration.inverse_gap, gamma=0.0),
}
every = pytest.mark.parametrize("explore", EVERY.values(), ids=EVERY)


@every
@pytest.mark.parametrize("eligible", [None, ELIGIBLE], ids=["all", "some"])
def test_probabilities_are_distributions_over_the_eligible_actions(explore, eligible):
    probabilities = explore(SCORES, eligible=eligible)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities >= 0).all()
    assert eligible is None or (probabilities[~eligible] == 0).all()


@every
def test_a_better_action_is_at_least_as_likely(explore):
    by_score = np.take_along_axis(explore(SCORES), SCORES.argsort(axis=1), axis=1)
    assert (np.diff(by_score, axis=1) >= -1e-12).all()


@every
def test_what_is_not_eligible_changes_nothing(explore):
    """As if the problem had these actions only: also where the others have the largest scores."""
    others = np.where(ELIGIBLE, SCORES, 1e9)
    np.testing.assert_allclose(explore(others, eligible=ELIGIBLE), explore(SCORES, eligible=ELIGIBLE))
    first, rows = explore(SCORES[:, :3]), np.pad(np.ones((200, 3), bool), ((0, 0), (0, 3)))
    np.testing.assert_allclose(explore(SCORES, eligible=rows)[:, :3], first)


@every
def test_equal_scores_are_equally_likely(explore):
    np.testing.assert_allclose(explore(np.full((1, 4), 0.3)), 0.25)


def test_the_best_action_gets_what_inverse_gaps_leave():
    scores = np.array([[1.0, 0.5, 0.0]])
    np.testing.assert_allclose(exploration.inverse_gap(scores, 10.0), [[1 - 1 / 8 - 1 / 13, 1 / 8, 1 / 13]])


def test_softmax_of_huge_and_tiny_scores_is_finite():
    scores = np.array([[1e300, -1e300, 0.0], [1e-300, 0.0, 0.0]])
    np.testing.assert_allclose(exploration.softmax(scores, 1e-3), [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])


@every
def test_tensorflow_gives_the_same_probabilities(explore):
    pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError)
    import tensorflow.experimental.numpy as tnp

    np.testing.assert_allclose(explore(tnp.asarray(SCORES), xp=tnp).numpy(), explore(SCORES), rtol=1e-12)
