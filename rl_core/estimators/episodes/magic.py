"""MAGIC: the mixture of j-step returns, from the model's value to weighted DR, of least mean squared error.

The j-step return g_j is weighted DR's sum over the first j steps, and the model's value from there on. Its variance is
estimated from the episodes, its bias as the distance from weighted DR's 50 % interval.

Thomas, Brunskill: Data-Efficient Off-Policy Policy Evaluation for Reinforcement Learning, ICML 2016, section 9.
"""

import numpy as np

from banditloop.rl_core.estimators.episodes.estimate import Estimate, weighted_means
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes

RETURNS = 25  # of different numbers of steps
BIAS_LEVEL = 0.5  # of the interval that the bias is measured from


def magic(episodes: LoggedEpisodes) -> Estimate:
    """The mean return by MAGIC: weighted DR where the log has the evidence, the model elsewhere.

    Its interval takes the mixture as given.
    """
    values, influences = _returns(episodes)
    mixture = _mixture(values, influences)
    return Estimate(float(mixture @ values), influences @ mixture)


def _returns(episodes: LoggedEpisodes) -> tuple[np.ndarray, np.ndarray]:
    """The returns g_j [J] for j = 0, …, T, and the episodes' influences on them [E, J]."""
    weights, discounts = episodes.normalised, episodes.discounts
    errors = weighted_means(discounts * (episodes.rewards - episodes.predicted), weights)
    following = weighted_means(discounts * episodes.expected, episodes.before(weights, episodes.shares))
    steps = weights.shape[1]
    values, influences = (
        np.cumsum(np.concatenate([np.zeros_like(error[..., :1]), error], axis=-1), axis=-1)
        + np.cumsum(np.concatenate([value, np.zeros_like(value[..., :1])], axis=-1), axis=-1)
        for error, value in zip(errors, following, strict=True)
    )
    chosen = np.unique(np.linspace(0, steps, RETURNS).round().astype(int))
    return values[chosen], influences[:, chosen]


def _mixture(values: np.ndarray, influences: np.ndarray) -> np.ndarray:
    """The weights [J] of the returns: the least x' (Ω + b b') x of all x >= 0 that sum to 1."""
    from scipy.optimize import nnls  # takes a quarter of a second to import

    count = len(influences)
    low, high = Estimate(float(values[-1]), influences[:, -1]).interval(BIAS_LEVEL)
    bias = values - values.clip(low, high)
    root = np.vstack([influences / np.sqrt(count * max(1, count - 1)), bias])
    # Σ x = 1 becomes one more row. If x sums to 1 and x' (Ω + b b') x is q, c x has the error c² q + (c - 1)², which is
    # at best q / (1 + q): the x with the smallest q is still the best.
    scale = np.abs(root).max() or 1.0
    triangle = np.linalg.qr(root / scale, mode="r")
    mixture, _ = nnls(np.vstack([triangle, np.ones(len(values))]), np.append(np.zeros(len(triangle)), 1.0))
    return mixture / mixture.sum()
