"""Anytime-valid tests: their error rate holds however often the evidence is checked.

Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS B 2024; Karampatziakis, Mineiro,
Ramdas: Off-policy Confidence Sequences, ICML 2021.

A bettor starts with a wealth of 1 and bets a fixed fraction f of it against a null hypothesis on every decision: the
wealth is multiplied by 1 + f d / b, where d has a mean of at most 0 under the null hypothesis and is never below -b. If
the null hypothesis is true, the wealth ever reaches 1/α with probability at most α (Ville's inequality). The mean
wealth of bettors with different fractions has the same guarantee. Log wealths are sums over decisions, so evidence
merges by addition, in any order.
"""

import math
from typing import Self

import numpy as np
from pydantic import Field

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.estimator import Logged
from banditloop.rl_core.settings.section import Section

BET_FRACTIONS = 0.5 ** np.arange(1, 13)
INITIAL_LOG_WEALTHS = [[0.0] * len(BET_FRACTIONS)] * 2


def log_mean_exp(log_wealths: np.ndarray) -> np.ndarray:
    """The logarithm of the mean wealth of bettors with log wealths [..., bettors]."""
    top = log_wealths.max(axis=-1)
    return top + np.log(np.mean(np.exp(log_wealths - top[..., None]), axis=-1))


class BettingTest(Section):
    """Evidence that a candidate's mean reward exceeds the champion's minus `margin`.

    Margin 0 tests superiority, a positive margin non-inferiority. The evidence accumulates over any number of
    retrainings and checks of one line of candidates: if no candidate of the line is better, one is promoted with
    probability at most α, over all checks together.

    Half of the bettors use the weighted rewards, d = (w_candidate - w_champion) r, which is at least minus the
    champion's maximum weight. The other half use the doubly robust difference, Q_candidate - Q_champion +
    (w_candidate - w_champion) (r - q), which varies less but has a lower minimum (Waudby-Smith, Wu, Ramdas,
    Karampatziakis, Mineiro: Anytime-valid Off-policy Inference for Contextual Bandits, 2022). Its reward model must not
    have been fitted to these decisions nor to later ones. Pass a model with every batch or with none; without a model,
    only the first half of the bettors counts.
    """

    margin: float = Field(0.0, ge=0, description="non-inferiority margin, as a fraction of the reward range")
    count: int = Field(0, ge=0, description="number of decisions bet on")
    log_wealths: list[list[float]] = Field(
        INITIAL_LOG_WEALTHS, description="log wealths without and with a reward model, by fraction bet"
    )

    def add(self, candidate: Logged, champion: Logged) -> Self:
        """The evidence with more decisions, the same ones for both policies.

        If several policies logged them, each call must get complete blocks of the log, with propensities under the
        mixture of the policies in the block: over a part of a block, a true difference of 0 need not be 0 on average.

        Raises:
            InvalidInput: a weight exceeds its `max_weight`, which must be known in advance and be the same for all
                users.
        """
        _check_weights("champion", champion)
        log_wealths = np.array(self.log_wealths)
        differences = (candidate.weight - champion.weight) * candidate.reward
        log_wealths[0] += _log_growth(differences + self.margin, champion.max_weight)
        if candidate.predicted_reward is not None:
            _check_weights("candidate", candidate)
            modelled = _doubly_robust_differences(candidate, champion)
            log_wealths[1] += _log_growth(modelled + self.margin, _max_doubly_robust_loss(candidate, champion))
        return self._updated(log_wealths, len(differences))

    def restarted(self) -> Self:
        """The evidence with every log wealth below 0 reset to 0, so that it detects a later change as quickly.

        Shin, Ramdas, Rinaldo: E-detectors, 2024. Over n checks its error is at most n exp(-log wealth).
        """
        return self._updated(np.maximum(self.log_wealths, 0.0), 0)

    def log_wealth(self) -> float:
        """The logarithm of the bettors' mean wealth."""
        log_wealths = np.array(self.log_wealths)
        return float(log_mean_exp(log_wealths.ravel() if log_wealths[1].any() else log_wealths[0]))

    def rejects(self, alpha: float = 0.05) -> bool:
        """Whether the evidence suffices now, with an error of at most alpha over all checks together."""
        return self.log_wealth() >= -math.log(alpha)

    def __add__(self, other: Self) -> Self:
        if self.margin != other.margin:
            raise InvalidInput(
                f"margin = {self.margin:g} and {other.margin:g}: only evidence for the same margin merges"
            )
        return self._updated(np.array(self.log_wealths) + np.array(other.log_wealths), other.count)

    def _updated(self, log_wealths: np.ndarray, new_decisions: int) -> Self:
        return self.model_copy(update={"log_wealths": log_wealths.tolist(), "count": self.count + new_decisions})


def _check_weights(name: str, logged: Logged) -> None:
    ratio = logged.weight / logged.max_weight
    if ratio.max(initial=0.0) > 1 + 1e-9:
        raise InvalidInput(
            f"gate: a weight of the {name} is {ratio.max():g} times its max_weight; it must be at most 1"
        )


def _doubly_robust_differences(candidate: Logged, champion: Logged) -> np.ndarray:
    """The doubly robust difference per decision [B]."""
    predicted, candidate_expected = candidate.model()
    _, champion_expected = champion.model()
    errors = candidate.reward - predicted
    return candidate_expected - champion_expected + (candidate.weight - champion.weight) * errors


def _max_doubly_robust_loss(candidate: Logged, champion: Logged) -> float | np.ndarray:
    """Minus the minimum of the doubly robust difference: 1 for the model's term, the maximum weight for the errors'."""
    return 1 + np.maximum(candidate.max_weight, champion.max_weight)


def _log_growth(gains: np.ndarray, max_loss: float | np.ndarray) -> np.ndarray:
    """The increase of the log wealths [BET_FRACTIONS] from betting on gains [B], none of which is below -max_loss."""
    return np.log1p(BET_FRACTIONS * (gains / max_loss)[:, None]).sum(axis=0)
