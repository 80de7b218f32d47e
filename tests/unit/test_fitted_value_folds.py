"""Values are fitted across folds of episodes, over which those in which the same happened are spread evenly."""

import numpy as np

from banditloop.rl_core.agents import Transitions
from banditloop.rl_core.estimators.episodes.evaluation import Side, evaluation
from banditloop.rl_core.estimators.episodes.fitted_values import FOLDS, FittedValues
from banditloop.rl_core.estimators.episodes.step_features import observed_features

STEPS, DISCOUNT = 3, 0.9


def repeated_episodes(seed: int, episodes: int) -> tuple[Transitions, np.ndarray]:
    """Episodes with few different observations, in which the same happens often, and a target policy's probabilities.

    Of two lights one is on; its action makes the next step brighter. Every step earns 1, so all policies are alike.
    """
    random = np.random.default_rng(seed)
    lights, actions = random.integers(2, size=(2, episodes, STEPS))
    right = lights == actions
    brightness = np.cumsum(right, axis=1) - right
    observations = np.stack([lights, brightness], axis=-1).reshape(-1, 2).astype(float)
    rows = len(observations)
    transitions = Transitions(
        observations,
        actions.ravel(),
        np.ones(rows),
        np.roll(observations, -1, axis=0),
        np.tile([DISCOUNT] * (STEPS - 1) + [0.0], episodes),
        np.ones(rows, bool),
        np.repeat(np.arange(episodes), STEPS),
        np.tile(np.arange(STEPS), episodes),
        np.full(rows, 0.5),
    )
    return transitions, np.where(lights.ravel()[:, None] == np.arange(2), 0.9, 0.1)


def test_every_fold_has_as_many_of_the_episodes_in_which_the_same_happened():
    transitions, target = repeated_episodes(0, 2000)
    folds = FittedValues(transitions, target, observed_features(transitions, 2)).folds[::STEPS]
    happened = np.column_stack([transitions.observations, transitions.actions]).reshape(2000, -1)
    for kind in np.unique(happened, axis=0):
        counts = np.bincount(folds[(happened == kind).all(axis=1)], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1


def test_the_value_of_a_constant_reward_is_not_biased_by_a_model_that_lacks_the_step():
    truth, errors = (1 - DISCOUNT**STEPS) / (1 - DISCOUNT), []
    for seed in range(12):
        transitions, target = repeated_episodes(seed, 800)
        row = evaluation(Side(transitions, target, observed_features(transitions, 2)))["returns"]["reward"]["estimates"]
        errors.append((row["weighted_dr"]["value"] - truth) / row["weighted_dr"]["standard_error"])
    assert abs(np.mean(errors)) < 1
    assert np.std(errors) < 2
