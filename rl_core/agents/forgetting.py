"""Forgetting: sums in which earlier interactions fade, and the evidence that they predict better than full sums.

Page: Continuous Inspection Schemes, Biometrika 1954: the log-likelihood ratio of new interactions, added up and never
below 0, signals a change when it exceeds a threshold.
"""

import numpy as np

from banditloop.rl_core.agents.agent import Batch
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.linear_prior import Regressions, Sums

RECENT = "recent_"  # prefix of the sums that fade
RECENT_HALF_LIFE = 500.0  # interactions
THRESHOLD = 10.0  # of the log-likelihood ratio: odds of 22,000 to 1
MAX_GAIN = 1.0  # of one interaction, so that no outlier decides
MAX_ROWS = 1000  # of a batch that evidence is computed from


def faded(statistics: Statistics, half_life: float, prefix: str = "") -> Statistics:
    """The statistics with the sums of a prefix faded by the number of interactions added since the last time."""
    factor = 0.5 ** (float(statistics["added"][0]) / half_life)
    fading = {prefix + name: statistics[prefix + name] * factor for name in Sums._fields}
    return statistics | fading | {"added": np.zeros(1)}


def without_the_past(statistics: Statistics) -> Statistics:
    """The statistics with the recent sums in place of the full ones, if the evidence for a change suffices."""
    evidence = statistics["evidence"]
    if evidence[0] <= THRESHOLD:
        return statistics | {"evidence": np.maximum(evidence, 0)}
    return statistics | {name: statistics[RECENT + name] for name in Sums._fields} | {"evidence": np.zeros(1)}


def evidence(everything: Regressions, recent: Regressions, batch: Batch) -> float:
    """How much better the recent sums predict the rewards of new interactions, as a log-likelihood ratio."""
    sample = _sample(batch)
    gains = _log_likelihoods(recent, sample) - _log_likelihoods(everything, sample)
    return float(gains.clip(-MAX_GAIN, MAX_GAIN).sum())


def _sample(batch: Batch) -> Batch:
    """Up to MAX_ROWS interactions of a batch, those of the smallest ids, so that their order does not matter."""
    if batch.ids is None or len(batch.ids) <= MAX_ROWS:
        return batch.take(slice(MAX_ROWS))
    return batch.take(np.argpartition(batch.ids, MAX_ROWS)[:MAX_ROWS])


def _log_likelihoods(regressions: Regressions, batch: Batch) -> np.ndarray:
    """The log density [B] of the rewards before learning from them."""
    arms, scale = np.unique(batch.actions), regressions.scale
    posterior = regressions.posterior(arms)
    x = np.hstack([np.ones((len(batch.actions), 1)), batch.observations]) @ scale.transform.T
    errors, variances = (batch.rewards - scale.reward) / scale.reward_deviation, np.full(len(x), posterior.noise)
    for arm, mean, covariance in zip(arms, posterior.means, posterior.covariances, strict=True):
        rows = batch.actions == arm
        errors[rows] -= x[rows] @ mean
        variances[rows] += np.vecdot(x[rows] @ covariance, x[rows])
    return -0.5 * (np.log(variances * scale.reward_deviation**2) + errors**2 / variances)
