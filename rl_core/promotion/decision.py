"""Decisions on the evidence about a candidate: from held-out interactions, and from its canary's traffic.

Each test rejects when its odds against chance (the wealth of a BettingTest) reach a threshold, which bounds the
probability of a wrong decision over all checks together.
"""

import math
from typing import NamedTuple, Self

from banditloop.rl_core.config import Config
from banditloop.rl_core.evidence.anytime_valid import TOTAL_WEALTH, BettingTest
from banditloop.rl_core.policies.release import CanaryEvidence, VerdictDecision

CANARY_ERROR = 0.8  # of the error α of a line of candidates; the rest is that of its held-out test
HARM_TESTS = 2  # tests for harm by a canary: one compares by action, one by assigned version
MAX_CHECKS = 100  # checks within which a canary that is no worse is rolled back with probability at most α
UNKNOWN_SHARES = "decisions of unknown traffic share left out of the check by user"


class Thresholds(NamedTuple):
    """Odds against chance at which the tests reject."""

    heldout_better: float  # the candidate is promoted without a canary
    canary_better: float  # the canary is promoted
    heldout_worse: float  # the candidate is refused
    canary_worse: float  # the canary is rolled back

    @classmethod
    def of(cls, config: Config) -> Self:
        """The thresholds for the config's α."""
        alpha = config.gate.alpha
        better = TOTAL_WEALTH / ((1 - CANARY_ERROR) * alpha), TOTAL_WEALTH / (CANARY_ERROR * alpha)
        return cls(*better, 1 / alpha, HARM_TESTS * MAX_CHECKS / alpha)


def decide_heldout(
    config: Config, better: BettingTest, worse: BettingTest, champion: str, evidence: str
) -> tuple[VerdictDecision, str]:
    """The decision on the evidence from held-out interactions or episodes, and its reason.

    Insufficient evidence never promotes. A candidate that is no worse is refused with probability at most α.
    evidence: how much there is, as "1,234 held-out episodes".
    """
    needed = Thresholds.of(config)
    if worse.rejects(1 / needed.heldout_worse):
        return "refuse", f"earns less than {champion}: {_against_chance(worse, needed.heldout_worse)}"
    if better.rejects(1 / needed.heldout_better):
        return "promote", f"{claim(better, champion)}: {_against_chance(better, needed.heldout_better)}"
    too_few = f"{evidence} are too few to decide"
    return "canary", f"{too_few}: {odds(better)} that it {claim(better, champion)}, {needed.heldout_better:,.0f} needed"


def decide_canary(config: Config, evidence: CanaryEvidence, champion: str) -> tuple[VerdictDecision | None, str]:
    """The decision on the evidence from a canary's traffic, None to continue the canary, and its reason."""
    needed = Thresholds.of(config)
    if evidence.worse.rejects(1 / needed.canary_worse):
        return "rollback", f"earns less than {champion}: {_against_chance(evidence.worse, needed.canary_worse)}"
    if evidence.worse_by_user.rejects(1 / needed.canary_worse):
        users = "episodes" if config.episodes else "users"
        harm = f"earns less from its {users} than {champion} from its own, whatever the actions"
        return "rollback", f"{harm}: {_against_chance(evidence.worse_by_user, needed.canary_worse)}"
    if evidence.better.rejects(1 / needed.canary_better):
        return (
            "promote",
            f"{claim(evidence.better, champion)}: {_against_chance(evidence.better, needed.canary_better)}",
        )
    so_far = f"{claim(evidence.better, champion)}: {odds(evidence.better)} so far, {needed.canary_better:,.0f} needed"
    left_out = "episodes of unknown traffic share left out" if config.episodes else UNKNOWN_SHARES
    return None, so_far + (f"; {evidence.unknown_shares:,} {left_out}" if evidence.unknown_shares else "")


def claim(better: BettingTest, champion: str) -> str:
    """The hypothesis that a test accepts when it rejects the null: "earns more than ...", with the margin."""
    margin = f" less {better.margin:.1%} of the reward's range" if better.margin else ""
    return f"earns more than {champion}{margin}"


def odds(test: BettingTest) -> str:
    """The wealth of a test as odds, "87 to 1"."""
    return f"{math.exp(min(test.log_wealth(), 30)):,.3g} to 1"


def _against_chance(test: BettingTest, needed: float) -> str:
    return f"{odds(test)} against chance, {needed:,.0f} needed"
