"""Sums over the interactions of each action, which linear agents are trained from: they merge by addition."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics

CACHED_NUMBERS, MOST_NUMBERS = 1 << 18, 1 << 24  # of a block: 2 MB, which stay in a cache, and 128 MB
ROWS_PER_ACTION = 256  # of a block on average, if it has room: adding a product to the sums costs as much as a few rows
FEW_ROWS = 32  # actions with so few rows are multiplied together, in one call
GROUP_NUMBERS = 1 << 15  # of the products of such a call: 256 KB, which stay in a cache


class Products(NamedTuple):
    """Σ w x xᵀ [n, p, p] and Σ w r x [n, p] of n actions, which `actions` indexes; or of a single one, without n."""

    actions: np.ndarray | int
    covariances: np.ndarray
    vectors: np.ndarray


def add_interactions(
    statistics: Statistics,
    x: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    weights: np.ndarray | None,
    prefixes: Sequence[str] = ("",),
) -> Statistics:
    """The statistics, with interactions added to their arrays in place; weights None: 1.

    x: [B, p]. The sums: those of `add_products`, and counts Σ 1 and rewards Σ r, both [actions].
    """
    add_products(statistics, x, actions, rewards, weights, prefixes)
    statistics["counts"] += np.bincount(actions, minlength=len(statistics["counts"]))
    statistics["rewards"] += np.bincount(actions, rewards, minlength=len(statistics["rewards"]))
    return statistics


def add_products(
    statistics: Statistics,
    x: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    weights: np.ndarray | None,
    prefixes: Sequence[str],
) -> None:
    """Add to covariances Σ w x xᵀ [actions, p, p] and vectors Σ w r x [actions, p], of actions that occur.

    prefixes: of the names of the arrays that they are added to.
    """
    for products in _products(x, actions, rewards, weights, len(statistics["counts"])):
        for prefix in prefixes:
            statistics[f"{prefix}covariances"][products.actions] += products.covariances
            statistics[f"{prefix}vectors"][products.actions] += products.vectors


def _products(
    x: np.ndarray, actions: np.ndarray, rewards: np.ndarray, weights: np.ndarray | None, arms: int
) -> Iterator[Products]:
    """The products of interactions, one per action and block of rows."""
    width = x.shape[1] + 1
    rows = min(max(CACHED_NUMBERS // width, ROWS_PER_ACTION * arms), max(1, MOST_NUMBERS // width))
    sort_type = np.uint16 if arms <= 1 << 16 else np.int64  # 16-bit integers use radix sort
    for start in range(0, len(actions), rows):
        block = slice(start, start + rows)
        order = np.argsort(actions[block].astype(sort_type), kind="stable")
        columns = x[block].take(order, axis=0), rewards[block].take(order)[:, None]
        z = np.concatenate(columns, axis=1, dtype=np.float64)
        weighted = z[:, :-1] if weights is None else z[:, :-1] * weights[block].take(order)[:, None]
        yield from _sorted_products(z, weighted, np.bincount(actions[block], minlength=arms))


def _sorted_products(z: np.ndarray, weighted: np.ndarray, counts: np.ndarray) -> Iterator[Products]:
    """The products of rows sorted by action. z: x and r [B, p + 1]; weighted: w x [B, p]; counts: rows per action."""
    starts = np.cumsum(counts) - counts
    for arm in np.flatnonzero(counts > FEW_ROWS):
        rows = slice(starts[arm], starts[arm] + counts[arm])
        yield _split(int(arm), weighted[rows].T @ z[rows])
    at_once = max(1, GROUP_NUMBERS // (z.shape[1] * weighted.shape[1]))
    for count in np.unique(counts[(counts > 0) & (counts <= FEW_ROWS)]):
        arms = np.flatnonzero(counts == count)
        for start in range(0, len(arms), at_once):
            group = arms[start : start + at_once]
            rows = starts[group, None] + np.arange(count)
            yield _split(group, weighted[rows].swapaxes(1, 2) @ z[rows])


def _split(actions: np.ndarray | int, products: np.ndarray) -> Products:
    return Products(actions, products[..., :-1], products[..., -1])
