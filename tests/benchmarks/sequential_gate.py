"""The gate and the canary's test on episodes: how many are needed for a promotion, and how often it is a wrong one."""

import numpy as np

from banditloop.rl_core.evaluation.episodes.comparison import add_by_version
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from tests.benchmarks.ratio import Row, at_most
from tests.support.right_actions import TRAINED, UNIFORM, held_out, shared

RUNS, CHECKS, MOST, LOGS = 15, 200, 20_000, 400
ALPHA, HELDOUT, CANARY = 0.05, 0.1 * 0.05, 0.4 * 0.05  # errors at which a candidate, and a canary, is promoted
LONGEST = {1: 100.0, 3: 400.0, 5: 1_000.0}  # held-out episodes needed at most, by their steps


def needed(steps: int, seed: int) -> float:
    """Held-out episodes of the random policy until a candidate that takes 85 % right actions is promoted."""
    most = int(4 * LONGEST[steps])
    for check, (better, _) in enumerate(held_out(steps, most, UNIFORM, TRAINED, seed, CHECKS), start=1):
        if better.rejects(HELDOUT):
            return check * most / CHECKS
    return float(most)


def needed_by_canary(skill: float, steps: int, seed: int) -> float:
    """Episodes of both versions, half of them the canary's, until it is promoted over the random policy."""
    episodes, better = shared(skill, steps, MOST, 0.5, seed), BettingTest()
    for rows in np.array_split(np.arange(MOST), CHECKS):
        part = episodes.where(rows)
        better, _ = add_by_version(part, 0, 1, better, BettingTest())
        if better.rejects(CANARY):
            return float(rows[-1] + 1)
    return float(MOST)


def wrong(candidate: float, steps: int) -> float:
    """The share of logs, checked ten times each, after which a candidate that is no better is promoted, in percent."""
    promoted = [
        any(better.rejects(ALPHA) for better, _ in held_out(steps, 400, UNIFORM, candidate, seed, checks=10))
        for seed in range(LOGS)
    ]
    return 100 * float(np.mean(promoted))


def rows() -> list[Row]:
    found = [
        at_most(f"gate: episodes of {steps} steps", [needed(steps, seed) for seed in range(RUNS)], "episodes", most)
        for steps, most in LONGEST.items()
    ]
    for skill, steps, most in ((TRAINED, 20, 200.0), (0.55, 20, 1_000.0), (0.55, 200, 1_000.0)):
        values = [needed_by_canary(skill, steps, seed) for seed in range(RUNS)]
        found.append(at_most(f"canary: {skill:.0%} right, {steps} steps", values, "episodes", most))
    for candidate, steps in ((UNIFORM, 3), (0.45, 3), (0.2, 8)):
        found.append(at_most(f"gate: {candidate:.0%} right promoted", [wrong(candidate, steps)], "%", 100 * ALPHA))
    return found
