"""Replicates of a reward model: their arrays in one mapping, and the bootstrap samples that they are trained on."""

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics

MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
PREFIX = "replicate_"
STEP = np.uint64(0x9E3779B97F4A7C15)
POISSON = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 16)]))  # of mean 1: P(0), P(≤ 1), …


def together(first: Statistics, *replicates: Statistics) -> Statistics:
    """One mapping of the arrays of a reward model and of its replicates, which `apart` takes apart."""
    numbered = enumerate(replicates)
    return first | {f"{PREFIX}{number}.{name}": array for number, part in numbered for name, array in part.items()}


def apart(arrays: Statistics, replicates: int) -> list[Statistics]:
    """The arrays of a reward model, and of each of its replicates."""
    prefixes = [f"{PREFIX}{number}." for number in range(replicates)]
    first = {name: array for name, array in arrays.items() if not name.startswith(PREFIX)}
    parts = [{name: arrays[prefix + name] for name in first if prefix + name in arrays} for prefix in prefixes]
    return [first, *parts]


def poisson_weights(ids: np.ndarray, number: int) -> np.ndarray:
    """How often a replicate's sample has each interaction [B]: Poisson numbers of mean 1, a function of their ids.

    ids: uint64 [B]. (Oza, Russell: Online Bagging and Boosting, 2001; the numbers are those of SplitMix64: Steele, Lea,
    Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.)
    """
    with np.errstate(over="ignore"):
        state = ids * MIX[0] + np.uint64(number + 1) * STEP
        state = (state ^ (state >> np.uint64(30))) * MIX[0]
        state = (state ^ (state >> np.uint64(27))) * MIX[1]
        state ^= state >> np.uint64(31)
    return np.searchsorted(POISSON, (state >> np.uint64(11)) / 2.0**53, side="right")
