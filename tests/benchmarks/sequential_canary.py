"""How often a canary of episodes that is no better is promoted, and one that is no worse is rolled back."""

from collections.abc import Iterator

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.evaluation.episodes.comparison import Tests, add_by_version
from banditloop.rl_core.evaluation.episodes.decisions import EpisodeDecisions
from banditloop.rl_core.evaluation.episodes.returns import predicted_returns
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.promotion.decision import Thresholds
from tests.benchmarks.ratio import Row, at_most

CONFIG = Config.parse({"environment": {"name": "cartpole"}})
CANARIES, CHECKS = 400, 100
SIZES = 4, 50  # episodes of a check: with 4, one version often has none


def equal_versions(seed: int, checks: int, size: int) -> Iterator[EpisodeDecisions]:
    """The episodes of a canary's checks: champion and challenger earn the same.

    Returns rise and fall as by day and night, and the challenger's share of the traffic with them; predictions start
    anew with every check, as they do when a window of the log is read.
    """
    random = np.random.default_rng(seed)
    for check in range(checks):
        day = 0.5 + 0.5 * np.sin(2 * np.pi * check / 24)
        share = 0.1 + 0.4 * day
        returns = random.beta(1 + 4 * day, 3, size)
        mix = np.tile([1 - share, share], (size, 1))
        answered_by = (random.random(size) < share).astype(int)
        predicted = predicted_returns(np.full(size, 0.5), returns)
        yield EpisodeDecisions(returns, predicted, np.zeros(size), answered_by, mix, np.zeros(2))


def judged(seed: int, checks: int, size: int) -> tuple[bool, bool]:
    """Whether a canary was promoted at any check, and whether it was rolled back."""
    needed = Thresholds.of(CONFIG)
    tests: Tests = BettingTest(), BettingTest()
    promoted = rolled_back = False
    for episodes in equal_versions(seed, checks, size):
        tests = add_by_version(episodes, 0, 1, tests[0], tests[1].restarted())
        promoted |= tests[0].rejects(1 / needed.canary_better)
        rolled_back |= tests[1].rejects(1 / needed.canary_worse)
    return promoted, rolled_back


def rows() -> list[Row]:
    alpha = 100 * CONFIG.gate.alpha
    found = []
    for size in SIZES:
        shares = 100 * np.mean([judged(seed, CHECKS, size) for seed in range(CANARIES)], axis=0)
        for share, what in zip(shares, ("promoted", "rolled back"), strict=True):
            found.append(at_most(f"canary: no better or worse, {size} episodes a check: {what}", [share], "%", alpha))
    return found
