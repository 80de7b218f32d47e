"""Interactions until a better canary is promoted, beside adaptive betting; and how often an equal one is.

The rewards' rate is .3 under the champion; the policies differ for 30 % of the users and each answers half of them.
The other test is aGRAPA (Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, 2024) with
uncapped fractions and α = .025, on the same doubly robust differences.
"""

import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.promotion.decision import Thresholds
from tests.benchmarks.ratio import Row, at_most
from tests.unit.test_anytime_valid import canary_logs, rows_of
from tests.unit.test_promotion_decision import MODELS, WORTHLESS, promoted, rolled_back

REPEATS, RUNS, EQUAL_RUNS, LINES, CANARIES = 5, 40, 400, 2_000, 1_000
LIMITS = {0.1: 30_000, 0.05: 90_000, 0.02: 500_000}  # interactions by which all are promoted, by the relative gain
ALPHA, MINIMUM = 0.025, 3.0


def rows() -> list[Row]:
    needed = math.log(Thresholds.of(Config.parse({"task": {"actions": 2}})).canary_better)
    random = np.random.default_rng(0)
    results = []
    for gain, limit in LIMITS.items():
        pairs = np.array([[_both(random, gain, limit, needed) for _ in range(RUNS)] for _ in range(REPEATS)])
        ours, theirs = np.median(pairs, axis=(0, 1))
        ratios = [float(a / b) for a, b in np.median(pairs, axis=1)]
        results.append(at_most(f"promote: +{gain:.0%}, {ours:,.0f} against {theirs:,.0f}", ratios, "times", 1.2))
    small = [_interactions(BettingTest(), canary_logs(random, 30_000, 0.03, 0.02), needed) for _ in range(RUNS)]
    results.append(at_most("promote: +10%, rewards at most .02 of their range", small, "interactions", 6000))
    after_equal = [
        _interactions(
            BettingTest().add(*canary_logs(random, 10_000, 0)).next_candidate(),
            canary_logs(random, 30_000, 0.03),
            needed,
        )
        for _ in range(RUNS)
    ]
    results.append(at_most("promote: +10% after an equal candidate", after_equal, "interactions", 5500))
    equal = [_interactions(BettingTest(), canary_logs(random, 20_000, 0), needed) < 20_000 for _ in range(EQUAL_RUNS)]
    results.append(at_most("promote: an equal candidate within 20,000", [float(np.mean(equal))], "of runs", 0.05))
    for gain, fraction in WORTHLESS:
        name = f"promote: {gain:+.2f} at {fraction:.0%} of the traffic, by any reward model"
        with ProcessPoolExecutor() as pool:
            shares = list(pool.map(partial(promoted, gain, fraction, lines=LINES), MODELS))
        results.append(at_most(name, shares, f"of {LINES:,} lines", 0.05, worst=True))
    for gain in (0.0, 0.05):
        share = rolled_back(gain, CANARIES)
        results.append(at_most(f"promote: {gain:+.2f}, rolled back", [share], f"of {CANARIES:,} canaries", 0.05))
    return results


def _both(random: np.random.Generator, gain: float, limit: int, needed: float) -> tuple[int, int]:
    logs = canary_logs(random, limit, gain * 0.3)
    return _interactions(BettingTest(), logs, needed), _adaptive(*logs)


def _interactions(evidence: BettingTest, logs: tuple[Logged, Logged], needed: float) -> int:
    """The interactions until the evidence suffices, checked every 50; all of them if it never does."""
    rows = len(logs[0].reward)
    for start in range(0, rows, 50):
        evidence = evidence.add(*(rows_of(log, start, start + 50) for log in logs))
        if evidence.log_wealth() >= needed:
            return start + 50
    return rows


def _adaptive(candidate: Logged, champion: Logged) -> int:
    """The same of aGRAPA: each bet is the mean of the differences before it over their mean square."""
    (predicted, candidate_expected), (_, champion_expected) = candidate.model(), champion.model()
    weights = candidate.weight - champion.weight
    differences = candidate_expected - champion_expected + weights * (candidate.reward - predicted)
    rounds = np.arange(2, len(differences) + 2)
    means = np.append(0, (np.cumsum(differences) / rounds)[:-1])
    squares = np.append(0.25, ((np.cumsum(differences**2) + 0.25) / rounds)[:-1])
    bets = np.clip(means / squares, 0, 0.999 / MINIMUM)
    enough = np.cumsum(np.log1p(bets * differences)) >= -math.log(ALPHA)
    return int(enough.argmax()) + 1 if enough.any() else len(differences)
