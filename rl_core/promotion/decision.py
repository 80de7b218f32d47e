"""Decisions on the evidence about a candidate: from held-out interactions, and from its canary's traffic.

Each test rejects when its odds against chance (the wealth of a BettingTest) reach a threshold, which bounds the
probability of a wrong decision over all checks together.
"""

import math
from typing import NamedTuple, Self

from banditloop.rl_core.config import Config
from banditloop.rl_core.estimators.anytime_valid import BettingTest
from banditloop.rl_core.policies.release import CanaryEvidence, VerdictDecision

HELDOUT_AND_CANARY = 2  # tests that share the error α of a line of candidates
HARM_TESTS = 2  # tests for harm by a canary: one compares by action, one by assigned version
MAX_CHECKS = 100  # checks within which a canary that is no worse is rolled back with probability at most α


class Thresholds(NamedTuple):
    """Odds against chance at which the tests reject."""

    better: float  # the candidate is promoted
    heldout_worse: float  # the candidate is refused
    canary_worse: float  # the canary is rolled back

    @classmethod
    def of(cls, config: Config) -> Self:
        """The thresholds for the config's α."""
        alpha = config.gate.alpha
        return cls(HELDOUT_AND_CANARY / alpha, 1 / alpha, HARM_TESTS * MAX_CHECKS / alpha)


def decide_heldout(
    config: Config, better: BettingTest, worse: BettingTest, champion: str
) -> tuple[VerdictDecision, str]:
    """The decision on the evidence from held-out interactions, and its reason.

    Insufficient evidence never promotes. A candidate that is no worse is refused with probability at most α.
    """
    needed = Thresholds.of(config)
    if worse.rejects(1 / needed.heldout_worse):
        return "refuse", f"earns less than {champion}: {_against_chance(worse, needed.heldout_worse)}"
    if better.rejects(1 / needed.better):
        return "promote", f"{claim(better, champion)}: {_against_chance(better, needed.better)}"
    too_few = f"{worse.count:,} held-out interactions are too few to decide"
    return "canary", f"{too_few}: {odds(better)} that it {claim(better, champion)}, {needed.better:,.0f} needed"


def decide_canary(config: Config, evidence: CanaryEvidence, champion: str) -> tuple[VerdictDecision | None, str]:
    """The decision on the evidence from a canary's traffic, None to continue the canary, and its reason."""
    needed = Thresholds.of(config)
    if evidence.worse.rejects(1 / needed.canary_worse):
        return "rollback", f"earns less than {champion}: {_against_chance(evidence.worse, needed.canary_worse)}"
    if evidence.worse_by_user.rejects(1 / needed.canary_worse):
        harm = f"earns less from its users than {champion} from its own, whatever the actions"
        return "rollback", f"{harm}: {_against_chance(evidence.worse_by_user, needed.canary_worse)}"
    if evidence.better.rejects(1 / needed.better):
        return "promote", f"{claim(evidence.better, champion)}: {_against_chance(evidence.better, needed.better)}"
    return None, f"{claim(evidence.better, champion)}: {odds(evidence.better)} so far, {needed.better:,.0f} needed"


def claim(better: BettingTest, champion: str) -> str:
    """The hypothesis that a test accepts when it rejects the null: "earns more than ...", with the margin."""
    margin = f" less {better.margin:.1%} of the reward's range" if better.margin else ""
    return f"earns more than {champion}{margin}"


def odds(test: BettingTest) -> str:
    """The wealth of a test as odds, "87 to 1"."""
    return f"{math.exp(min(test.log_wealth(), 30)):,.3g} to 1"


def _against_chance(test: BettingTest, needed: float) -> str:
    return f"{odds(test)} against chance, {needed:,.0f} needed"
