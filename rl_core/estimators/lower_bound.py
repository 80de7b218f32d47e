"""Lower bound of the mean of a variable that is never below 0, from its sum and its sum of squares.

A bettor who stakes a fraction c of the wealth on every value y, against the claim that the mean is m, has a log wealth
of Σ log(1 + c (y / m - 1)). Of all values with the same sum and the same sum of squares, it is smallest for those that
are 0 or x, one size (Chebyshev-Markov inequality): a fraction q of the n values are events of size x. For the best c it
is then n kl(q, m / x), where kl is the relative entropy of two Bernoulli distributions: the log likelihood ratio of the
events. The bound is the smallest m for which it is at most log(1.25 / α).

No maximum of the variable needs to be known, however large rare values may be: not knowing it only lowers the bound.

Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS B 2024; Honda, Takemura:
An Asymptotically Optimal Policy for Finite Support Models in the Multiarmed Bandit Problem, Machine Learning 2011.
"""

import math

import numpy as np

from banditloop.rl_core.errors import InvalidInput

ODDS_FACTOR = 1.25  # with it both bounds together cover every Bernoulli mean at a level from 80 % to 99.9 % and n >= 20
BISECTIONS = 45


def check_level(level: float) -> None:
    """InvalidInput: the level of an interval is not between 0 and 1."""
    if not 0 < level < 1:
        raise InvalidInput(f"level = {level:g}: must be above 0 and below 1, such as 0.95")


def equal_events(mean: np.ndarray, mean_square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fraction and the size of equal events with this mean and mean square; (0, 1) if the mean is not above 0.

    The fraction times the count is Kish's effective sample size.
    """
    mean, mean_square = np.asarray(mean, float), np.asarray(mean_square, float)
    positive = (mean > 0) & (mean_square > 0)
    safe_mean, safe_square = np.where(positive, mean, 0.0), np.where(positive, mean_square, 1.0)
    fraction = np.minimum(safe_mean**2 / safe_square, 1.0)
    return fraction, safe_square / np.where(positive, mean, 1.0)


def lower_bound(count: int, mean: np.ndarray, mean_square: np.ndarray, level: float = 0.95) -> np.ndarray:
    """The lower bounds [...] of the means of variables >= 0, from the mean and the mean square [...] of `count` values.

    For a variable with a known maximum, the maximum minus the lower bound of (maximum - variable) is an upper bound of
    the same level; both together are an interval of that level.

    Raises:
        InvalidInput: the level is not between 0 and 1.
    """
    check_level(level)
    fraction, size = equal_events(mean, mean_square)
    return size * _least_plausible(fraction, math.log(ODDS_FACTOR / (1 - level)) / count)


def mean_interval(
    count: int, mean: float, mean_square: float, maximum: float, level: float = 0.95
) -> tuple[float, float]:
    """The interval of the mean of a variable from 0 to `maximum`, which may be infinite."""
    if not math.isfinite(maximum):
        return float(lower_bound(count, np.array(mean), np.array(mean_square), level)), math.inf
    square_of_rest = maximum**2 - 2 * maximum * mean + mean_square
    means, squares = np.array([mean, maximum - mean]), np.array([mean_square, square_of_rest])
    low, rest = lower_bound(count, means, squares, level).tolist()
    return low, maximum - rest


def _least_plausible(fraction: np.ndarray, divergence: float) -> np.ndarray:
    """The smallest probabilities m with kl(fraction, m) <= divergence, by bisection."""
    low, high = np.zeros_like(fraction), fraction
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        implausible = _entropy_term(fraction, middle) + _entropy_term(1 - fraction, 1 - middle) > divergence
        low, high = np.where(implausible, middle, low), np.where(implausible, high, middle)
    return low


def _entropy_term(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """p log(p / q), which is 0 at p = 0: scipy.special.rel_entr, which takes a tenth of a second to import."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * np.log(p / q), 0.0)
