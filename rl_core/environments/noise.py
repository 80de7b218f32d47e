"""Random numbers that are functions of event ids or of an episode's seed, so that what depends on them is pure."""

import zlib
from collections.abc import Iterator

import numpy as np


def normals(event_ids: list[str]) -> np.ndarray:
    """Standard normal numbers [B]."""
    return np.array([random.normal() for random in _generators(event_ids)])


def uniforms(event_ids: list[str]) -> np.ndarray:
    """Numbers [B] in [0, 1)."""
    return np.array([random.random() for random in _generators(event_ids)])


def exponentials(event_ids: list[str]) -> np.ndarray:
    """Exponential numbers [B] of mean 1, independent of the other functions' numbers for the same ids."""
    return np.array([random.exponential() for random in _generators(f"exponential {id}" for id in event_ids)])


def hashes(seeds: np.ndarray, numbers: np.ndarray | int) -> np.ndarray:
    """Random uint64 [B], functions of seeds uint64 [B] and of numbers from 0 on [B]; either may be one for all.

    They are the outputs of the generator SplitMix64 (Steele, Lea, Flood 2014), by its seed and their position.
    """
    with np.errstate(over="ignore"):
        values = seeds + (np.asarray(numbers, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(values ^ (values >> np.uint64(31)))


def step_uniforms(seeds: np.ndarray, step: int) -> np.ndarray:
    """Numbers [B] in [0, 1), one for a step of each episode, by the episodes' seeds uint64 [B]."""
    return (hashes(seeds, step) >> np.uint64(11)) * 2.0**-53


def _generators(texts: Iterator[str] | list[str]) -> Iterator[np.random.Generator]:
    return (np.random.default_rng(zlib.crc32(text.encode())) for text in texts)
