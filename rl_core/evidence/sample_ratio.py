"""The sample-ratio check: whether a challenger answered as often as its share of the traffic says."""

import math
from typing import Self

import numpy as np
from pydantic import Field

from banditloop.rl_core.evidence.anytime_valid import log_mean_exp
from banditloop.rl_core.evidence.tilted_odds import log_likelihood_ratios
from banditloop.rl_core.settings.section import Section

LEVEL = 0.01  # probability that the check ever warns of a challenger that gets its share
ODDS = np.array([0.5, 0.8, 1.25, 2.0])  # by how much the odds of an answer by the challenger may be wrong
MAX_VISITS = 50  # decisions of one user: they all have one version where users are assigned by their key


class SampleRatioTest(Section):
    """Evidence that a challenger answered more or less often than its known share of the traffic.

    An alternative multiplies the odds that the challenger answers; its wealth is the product of likelihood ratios over
    decisions. The log does not say which decisions were the same user's, who always gets the same version. So every
    ratio is taken to the power 1 / MAX_VISITS: the mean of a user's product is then at most 1 (Jensen's inequality) as
    long as the user has at most MAX_VISITS decisions, and the mean wealth ever reaches 1 / LEVEL with probability at
    most LEVEL, however often one looks. Users must be assigned independently.
    """

    count: int = Field(0, ge=0, description="decisions of which the challenger's share was known")
    answered: int = Field(0, ge=0, description="of these, the number that the challenger answered")
    expected: float = Field(0.0, ge=0, description="of these, the expected number, the sum of the shares")
    log_wealths: list[float] = Field([0.0] * len(ODDS), description="log wealths of the alternatives")

    def add(self, is_challenger: np.ndarray, shares: np.ndarray) -> Self:
        """The evidence with more decisions: by the challenger or not, bool [B], its shares [B] in (0, 1)."""
        growth = log_likelihood_ratios(is_challenger, shares, ODDS).sum(axis=0) / MAX_VISITS
        return type(self)(
            count=self.count + len(shares),
            answered=self.answered + int(is_challenger.sum()),
            expected=self.expected + float(shares.sum()),
            log_wealths=(self.log_wealths + growth).tolist(),
        )

    def rejects(self, level: float = LEVEL) -> bool:
        """Whether the challenger did not get its share, with an error of at most `level` over all looks together."""
        return bool(log_mean_exp(np.array(self.log_wealths)) >= -math.log(level))

    def warning(self, challenger: str) -> str:
        """One line for the operator; empty as long as the test does not reject."""
        if not self.rejects():
            return ""
        got, share = self.answered / self.count, self.expected / self.count
        return f"{challenger} answered {got:.1%} of {self.count:,} interactions, where {share:.1%} were to be expected"
