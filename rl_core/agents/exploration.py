"""Exploration: from predicted rewards to the probability of every action.

Functions take scores [B, K], the predicted rewards, and eligible, bool [B, K], the actions that may be chosen;
None: all. Exploration functions return probabilities [B, K], exactly 0 where an action is not eligible.

xp: the namespace of the arrays, NumPy's, or tensorflow.experimental.numpy where a policy is exported as a SavedModel:
the formulas are the same.
"""

from typing import Any

import numpy as np


def eligible_actions(scores: Any, eligible: Any = None, xp: Any = np) -> Any:
    """The number of eligible actions [B, 1]."""
    return xp.sum(_weights(scores, eligible, xp), axis=1, keepdims=True)


def uniform(scores: Any, eligible: Any = None, xp: Any = np) -> Any:
    """The same probability for every eligible action."""
    weights = _weights(scores, eligible, xp)
    return weights / xp.sum(weights, axis=1, keepdims=True)


def greedy(scores: Any, eligible: Any = None, xp: Any = np) -> Any:
    """All probability for the action with the highest score, or for those that share it, in equal parts."""
    is_eligible = _weights(scores, eligible, xp) > 0
    best = xp.max(xp.where(is_eligible, scores, -np.inf), axis=1, keepdims=True)
    return uniform(scores, is_eligible & (scores == best), xp)


def epsilon_greedy(scores: Any, epsilon: Any, eligible: Any = None, xp: Any = np) -> Any:
    """Uniform with probability epsilon, and otherwise greedy."""
    return (1 - epsilon) * greedy(scores, eligible, xp) + epsilon * uniform(scores, eligible, xp)


def softmax(scores: Any, temperature: Any, eligible: Any = None, xp: Any = np) -> Any:
    """Probabilities proportional to exp(score / temperature), for temperatures above 0: Boltzmann exploration."""
    is_eligible = _weights(scores, eligible, xp) > 0
    finite = xp.where(is_eligible, scores, xp.min(scores, axis=1, keepdims=True))
    below_best = finite - xp.max(xp.where(is_eligible, scores, -np.inf), axis=1, keepdims=True)
    weights = xp.where(is_eligible, xp.exp(xp.minimum(below_best, 0.0) / temperature), 0.0)
    return weights / xp.sum(weights, axis=1, keepdims=True)


def inverse_gap(scores: Any, gamma: Any, eligible: Any = None, xp: Any = np) -> Any:
    """Inverse gap weighting: 1 / (K + γ (f* - f_a)) for every action but the best, which gets the rest.

    f_a: an action's score, f*: the highest one; K: the number of eligible actions. gamma: γ ≥ 0; at 0 all actions are
    equally likely. (Foster, Rakhlin: Beyond UCB, ICML 2020, algorithm SquareCB.)
    """
    weights = _weights(scores, eligible, xp)
    best = xp.max(xp.where(weights > 0, scores, -np.inf), axis=1, keepdims=True)
    gaps = xp.where(weights > 0, best - scores, 0.0)
    probabilities = weights / (xp.sum(weights, axis=1, keepdims=True) + gamma * gaps)
    rest = 1 - xp.sum(probabilities, axis=1, keepdims=True)
    return probabilities + rest * greedy(scores, eligible, xp)


def _weights(scores: Any, eligible: Any, xp: Any) -> Any:
    """1 for eligible actions and 0 for others [B, K]."""
    return xp.ones_like(scores) if eligible is None else xp.where(eligible, 1.0, 0.0)
