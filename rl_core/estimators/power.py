"""How many interactions it takes to detect a difference of a given size.

The estimate of a difference is a mean of terms, one for each decision, of which the influence is the term minus the
mean: for the doubly robust difference Q1 - Q2 + (w1 - w2) (r - q) - D. With the variance σ² of the influence, a
two-sided test at the level 1 - α finds a true difference δ with probability 1 - β after

    n = σ² (z(1 - α/2) + z(1 - β))² / δ²

interactions, where z is the quantile of the normal distribution (Lehr: Sixteen S-squared over D-squared, 1992, for α
= .05 and 1 - β = .8).

It assumes that the further interactions are independent, are logged by the same policy for the same kind of users, that
n is fixed in advance, and that the mean is nearly normal. σ² is that of the terms observed so far: where a few large
weights make up the estimate, it is too small, and so is n. A test that may be checked at any time needs more.
"""

import math
from statistics import NormalDist

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.value_interval import ValueSums

POWER = 0.8
NORMAL = NormalDist()
INFLUENCE = np.array([1.0, 0.0, -1.0, 1.0])  # of z = w1 r + w2 (1 - r), w1, w2 and the model's term


def interactions_needed(variance: float, difference: float, level: float = 0.95, power: float = POWER) -> int:
    """The number of interactions in which a true difference is found with probability `power`.

    variance: of the influence; difference: above 0, in the same units; level: of the interval that must exclude 0.

    Raises:
        InvalidInput: difference, level or power are outside their ranges.
    """
    if not difference > 0:
        raise InvalidInput(f"detect = {difference:g}: give a difference above 0")
    for name, value in (("level", level), ("power", power)):
        if not 0 < value < 1:
            raise InvalidInput(f"{name} = {value:g}: must be above 0 and below 1")
    quantiles = NORMAL.inv_cdf((1 + level) / 2) + NORMAL.inv_cdf(power)
    return math.ceil(variance * max(quantiles, 0.0) ** 2 / difference**2)


def difference_variance(sums: ValueSums) -> float:
    """The variance of the influence of the doubly robust difference of two policies, rewards in [0, 1].

    NaN without decisions.
    """
    if not sums.count:
        return math.nan
    scale = sums.sums[-1] / sums.count  # of the sample weights
    difference = float(INFLUENCE @ sums.sums[:-1] / sums.sums[-1])
    coefficients = np.append(INFLUENCE, -difference)
    return float(coefficients @ sums.products @ coefficients / sums.count / scale**2)
