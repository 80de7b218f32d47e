"""The probability that each of several independent normal variables is the largest: that of Thompson sampling.

With Φ_a the distribution function of variable a and F = Π Φ_a that of the largest, P_a = ∫ F d(log Φ_a). On a grid of
points, each cell's share of F is divided among the variables in proportion to their changes of log Φ_a in it, which is
exact where the ratios of their reversed hazard rates are constant in the cell; the probabilities sum to 1 by
construction. A coarse grid shows where F rises, and a second one is dense there. log Φ is read from a table.
"""

import math

import numpy as np

BELOW, ABOVE = 4.0, 5.0  # the grid begins that many deviations below the best lower end, and ends above all
STEPS = 1024  # of the table, per standard deviation
COARSE, FINE = np.linspace(0, 1, 17), np.linspace(0, 1, 33)
SPREAD = 0.4  # weight of points spread evenly over the coarse grid, to 1 of those where F rises
SMALL = 32  # up to so many variables are computed without leaving out those that cannot win
CHUNK_NUMBERS = 1_000_000  # 4 MB: more rows are computed in several chunks


def _log_distribution(z: float) -> float:
    """log Φ(z)."""
    return math.log1p(-0.5 * math.erfc(z / math.sqrt(2))) if z > 0 else math.log(0.5 * math.erfc(-z / math.sqrt(2)))


_TABLE = np.array([*(_log_distribution(i / STEPS - BELOW) for i in range(int((BELOW + 6) * STEPS))), 0], np.float32)
LAST = len(_TABLE) - 1


def probabilities_of_best(means: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """The probability [B, K] that each of K independent normal variables is the largest; 0 where one hardly ever is.

    means [B, K], of which -inf cannot win; deviations [B, K], positive. A row's result depends on no other row, and is
    within 0.005 of the exact one.
    """
    low = (means - BELOW * deviations).max(axis=1, keepdims=True)
    high = means + ABOVE * deviations
    if means.shape[1] <= SMALL:
        return _in_chunks(low, high, deviations)
    can_win = (high > low).sum(axis=1)
    sizes = np.minimum(1 << np.ceil(np.log2(np.maximum(can_win, SMALL))).astype(int), means.shape[1])
    probabilities = np.zeros(means.shape)
    for size in np.unique(sizes):  # rows with about the same number of variables that can win are computed together
        rows = np.flatnonzero(sizes == size)
        columns = np.sort(np.argpartition(high[rows], -size, axis=1)[:, -size:], axis=1)
        cells = rows[:, None], columns
        probabilities[cells] = _in_chunks(low[rows], high[cells], deviations[cells])
    return probabilities


def _in_chunks(low: np.ndarray, high: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    rows = max(1, CHUNK_NUMBERS // (len(FINE) * high.shape[1]))
    if len(low) <= rows:
        return _quadrature(low, high, deviations)
    chunks = (slice(start, start + rows) for start in range(0, len(low), rows))
    return np.concatenate([_quadrature(low[chunk], high[chunk], deviations[chunk]) for chunk in chunks])


def _quadrature(low: np.ndarray, high: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Probabilities [B, K], integrated from low [B, 1] to the highest of high [B, K]."""
    length = high.max(axis=1, keepdims=True) - low
    first = np.minimum((low - high) / deviations + (ABOVE + BELOW), LAST) * STEPS + 0.5
    width = np.minimum(length / deviations * STEPS, 1e9)
    narrowest = np.where(high > low, deviations, np.inf).min(axis=1, keepdims=True)
    points = _points(first, width, length / narrowest)
    logs = _log_distributions(first, width, points)
    total = logs.sum(axis=1)
    shares, changes = np.diff(np.exp(total)), np.diff(total)
    rates = np.divide(shares, changes, out=np.zeros_like(shares), where=changes > 0)
    edges = np.zeros(total.shape, np.float32)  # Σ rate · change of log Φ, summed by parts
    edges[:, 1:] = rates
    edges[:, :-1] -= rates
    probabilities = np.maximum(np.matvec(logs, edges), 0).astype(np.float64)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _points(first: np.ndarray, width: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The points [B, FINE] of the grid, from 0 to 1; length [B, 1]: of the grid, in deviations of the narrowest."""
    curve = np.log1p(length / BELOW)  # the coarse points are dense at first, where the narrow variables are
    coarse = np.expm1(curve * COARSE) / np.expm1(curve)
    rises = np.exp(_log_distributions(first, width, coarse).sum(axis=1)) + SPREAD * COARSE
    rises[:, 0] = 0
    rises /= rises[:, -1:]
    return np.stack([np.interp(FINE, *pair) for pair in zip(rises, coarse, strict=True)])


def _log_distributions(first: np.ndarray, width: np.ndarray, points: np.ndarray) -> np.ndarray:
    """log Φ [B, K, P] at points [B, P] in [0, 1]. first, width [B, K]: the table's place of 0, and places to 1."""
    first, width, points = first.astype(np.float32), width.astype(np.float32), points.astype(np.float32)
    places = first[:, :, None] + width[:, :, None] * points[:, None]
    return _TABLE[np.minimum(places, LAST).astype(np.int32)]
