"""Random numbers that are functions of event ids, so that a reward and its delay are pure."""

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


def _generators(texts: Iterator[str] | list[str]) -> Iterator[np.random.Generator]:
    return (np.random.default_rng(zlib.crc32(text.encode())) for text in texts)
