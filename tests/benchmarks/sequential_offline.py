"""Offline CartPole: policies learned from random episodes of up to 200 steps; mean lengths of 50 greedy ones."""

import numpy as np

from tests.benchmarks.ratio import Row, at_least, at_most
from tests.support.offline_cartpole import Learned, learned

SEEDS, FEW, MANY = 12, 150, 1_340  # episodes; a random one has 22 steps
LEAST_MEAN, LEAST_WORST, MOST_SECONDS = 160.0, 100.0, 10.0
GOAL = 190.0  # of the mean, of many episodes
REAGENT = 120.0  # what ReAgent asks of its offline DQN


def rows() -> list[Row]:
    few, many = _learned("dqn", FEW), _learned("dqn", MANY)
    return [
        at_least(f"offline: CartPole, dqn, {FEW} episodes, mean", [_mean(few)], "steps", LEAST_MEAN),
        at_least(f"offline: CartPole, dqn, {FEW} episodes, worst", _lengths(few), "steps", LEAST_WORST, worst=True),
        at_least(f"offline: CartPole, dqn, {MANY:,} episodes, mean", [_mean(many)], "steps", GOAL),
        at_most("offline: CartPole, dqn", [seed.seconds for seed in (*few, *many)], "CPU-s", MOST_SECONDS, worst=True),
        at_least(
            f"offline: CartPole, fitted_q, {FEW} episodes, mean", [_mean(_learned("fitted_q", FEW))], "steps", REAGENT
        ),
    ]


def _learned(agent: str, episodes: int) -> list[Learned]:
    found = [learned(seed, episodes, {"name": agent}) for seed in range(SEEDS)]
    print(f"CartPole, {agent}, {episodes:,} episodes:", *(f"{seed.length:.0f}" for seed in found))
    return found


def _lengths(found: list[Learned]) -> list[float]:
    return [seed.length for seed in found]


def _mean(found: list[Learned]) -> float:
    return float(np.mean(_lengths(found)))
