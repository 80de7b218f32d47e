"""Anytime-valid tests: their error rate holds however often the evidence is checked.

Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS B 2024; Karampatziakis, Mineiro,
Ramdas: Off-policy Confidence Sequences, ICML 2021.

A bettor starts with some wealth and bets a fixed fraction f of it against a null hypothesis on every decision: the
wealth is multiplied by 1 + f d / b, where d has a mean of at most 0 under the null hypothesis and is never below -b. If
the null hypothesis is true, a wealth of 1 ever reaches 1/α with probability at most α (Ville's inequality). The total
wealth of bettors with different fractions has the same guarantee.
"""

import math
from typing import Self

import numpy as np
from pydantic import Field

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evidence.logged import Logged
from banditloop.rl_core.settings.section import Section

BET_FRACTIONS = 0.95 * 0.5 ** np.arange(12)
_LARGE_FIRST = 1 / np.arange(1, 13) / np.sum(1 / np.arange(1, 13))  # effects found soon need large fractions
LOG_SHARES = np.log([0.25 * _LARGE_FIRST, 0.75 * _LARGE_FIRST])  # of the initial wealth: bettors [without model, with]
INITIAL_LOG_WEALTHS = [[0.0] * len(BET_FRACTIONS)] * 2
REWARD_HEADROOM = 2.0  # a reward above this multiple of the largest one before it counts as that multiple
TOTAL_WEALTH = 2.0  # of a line of candidates: 1 for the first one, and as much for all later ones together


def log_mean_exp(log_wealths: np.ndarray) -> np.ndarray:
    """The logarithm of the mean wealth of bettors with log wealths [..., bettors]."""
    top = log_wealths.max(axis=-1)
    return top + np.log(np.mean(np.exp(log_wealths - top[..., None]), axis=-1))


class BettingTest(Section):
    """Evidence that a candidate's mean reward exceeds the champion's minus `margin`.

    Margin 0 tests superiority, a positive margin non-inferiority. The evidence accumulates over any number of
    retrainings and checks of one line of candidates: if no candidate of the line is better, the wealth ever reaches
    TOTAL_WEALTH / α with probability at most α, over all candidates and checks together. `next_candidate` adds the
    wealth kept for that candidate: a better candidate after an equal one is detected almost as soon as the first.

    The bettors without a model use the weighted rewards, d = (w_candidate - w_champion) r, which is at least minus the
    champion's maximum weight. The others use the doubly robust difference, Q_candidate - Q_champion +
    (w_candidate - w_champion) (r - q), which varies less but has a lower minimum (Waudby-Smith, Wu, Ramdas,
    Karampatziakis, Mineiro: Anytime-valid Off-policy Inference for Contextual Bandits, 2022). Its reward model must not
    have been fitted to these decisions nor to later ones; without one, q is 0.

    Rewards are measured by a bound that is known before each decision: REWARD_HEADROOM times the largest reward of the
    decisions before it, at most 1. Small differences between small rewards are then found as soon as large differences
    between large ones. Rewards above the bound count as the bound.
    """

    margin: float = Field(0.0, ge=0, description="non-inferiority margin, as a fraction of the reward range")
    count: int = Field(0, ge=0, description="number of decisions bet on")
    candidates: int = Field(1, ge=1, description="number of candidates of the line so far")
    largest_reward: float = Field(0.0, ge=0, le=1, description="largest reward so far, as a fraction of its range")
    log_wealths: list[list[float]] = Field(
        INITIAL_LOG_WEALTHS, description="log wealths without and with a reward model, by fraction bet"
    )

    def add(self, candidate: Logged, champion: Logged) -> Self:
        """The evidence with more decisions, in the order of time, the same ones for both policies.

        Raises:
            InvalidInput: a weight exceeds its `max_weight`, which must be known before the decision and be the same for
                all users.
        """
        return self._add(candidate, champion, less=False)

    def add_losses(self, candidate: Logged, champion: Logged) -> Self:
        """As `add`, for evidence that the candidate loses more, and so earns less; a loss is the bound minus reward."""
        return self._add(candidate, champion, less=True)

    def next_candidate(self) -> Self:
        """The evidence when the next candidate of the line replaces the last one: its share of the wealth is added.

        The k-th one's share is TOTAL_WEALTH / (k (k + 1)): all shares sum to TOTAL_WEALTH.
        """
        number = self.candidates + 1
        log_share = math.log(TOTAL_WEALTH / (number * (number + 1)))
        log_wealths = np.logaddexp(self.log_wealths, log_share).tolist()
        return self.model_copy(update={"candidates": number, "log_wealths": log_wealths})

    def restarted(self) -> Self:
        """The evidence with every log wealth below 0 reset to 0, so that it detects a later change as quickly.

        Shin, Ramdas, Rinaldo: E-detectors, 2024. Over n checks its error is at most n exp(-log wealth).
        """
        return self.model_copy(update={"log_wealths": np.maximum(self.log_wealths, 0.0).tolist()})

    def log_wealth(self) -> float:
        """The logarithm of the bettors' total wealth; the first candidate's is 0 at the beginning."""
        return float(np.logaddexp.reduce(LOG_SHARES + self.log_wealths, axis=None))

    def rejects(self, alpha: float = 0.05) -> bool:
        """Whether the wealth reaches 1 / alpha now."""
        return self.log_wealth() >= -math.log(alpha)

    def _add(self, candidate: Logged, champion: Logged, less: bool) -> Self:
        largest = np.maximum.accumulate([self.largest_reward, *candidate.reward])
        bounds = np.minimum(1, REWARD_HEADROOM * largest[:-1])
        margins = np.divide(self.margin, bounds, out=np.zeros_like(bounds), where=bounds > 0)
        bets = _bets(candidate, champion, bounds, less)
        growth = [_log_growth(differences + margins, max_loss) for differences, max_loss in bets]
        return self.model_copy(
            update={
                "count": self.count + len(bounds),
                "largest_reward": float(largest[-1]),
                "log_wealths": (np.array(self.log_wealths) + growth).tolist(),
            }
        )


def _check_weights(name: str, logged: Logged) -> None:
    ratio = logged.weight / logged.max_weight
    if ratio.max(initial=0.0) > 1 + 1e-9:
        raise InvalidInput(
            f"gate: a weight of the {name} is {ratio.max():g} times its max_weight; it must be at most 1"
        )


Bet = tuple[np.ndarray, float | np.ndarray]


def _bets(candidate: Logged, champion: Logged, bounds: np.ndarray, less: bool) -> tuple[Bet, Bet]:
    """The weighted and the doubly robust differences [B] that are bet on, each with minus its minimum.

    Differences are of rewards, or of losses, relative to bounds [B]. Without a reward model both are the weighted one.
    """

    def relative(rewards: np.ndarray) -> np.ndarray:
        fractions = np.minimum(np.divide(rewards, bounds, out=np.zeros(len(bounds)), where=bounds > 0), 1)
        return 1 - fractions if less else fractions

    _check_weights("champion", champion)
    reward, weights = relative(candidate.reward), candidate.weight - champion.weight
    weighted = weights * reward, champion.max_weight
    if candidate.predicted_reward is None:
        return weighted, weighted
    _check_weights("candidate", candidate)
    predicted, candidate_expected = map(relative, candidate.model())
    differences = candidate_expected - relative(champion.model()[1]) + weights * (reward - predicted)
    return weighted, (differences, 1 + np.maximum(candidate.max_weight, champion.max_weight))


def _log_growth(gains: np.ndarray, max_loss: float | np.ndarray) -> np.ndarray:
    """The increase of the log wealths [BET_FRACTIONS] from betting on gains [B], none of which is below -max_loss."""
    return np.log1p(BET_FRACTIONS * (gains / max_loss)[:, None]).sum(axis=0)
