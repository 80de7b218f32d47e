"""Returns of episodes: their range, and predictions of them from the episodes before."""

import numpy as np

from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.reward_range import RewardRange

PRIOR_EPISODES = 10.0  # after as many, the slope of the regression counts by half
LEAST_VARIANCE = 1e-12  # of scaled values; with a smaller one, they are all the same but for rounding


def return_range(rewards: RewardRange, episodes: EpisodesSection) -> RewardRange:
    """The smallest and the largest discounted sum of rewards of an episode.

    The config's range; without one, what episodes of 1 to episodes.max_steps steps can earn.
    """
    if episodes.return_range:
        return RewardRange(*episodes.return_range)
    discounted = float(np.sum(episodes.discount ** np.arange(episodes.max_steps)))
    return RewardRange(min(rewards.low, rewards.low * discounted), max(rewards.high, rewards.high * discounted))


def predicted_returns(values: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """A prediction of each episode's return [E] from the episodes before it alone, all scaled to [0, 1].

    values [E]: what a model expects of each episode at its start. Its scale may be wrong, or it may know nothing: the
    prediction is a regression of the earlier returns on their values. The first prediction is the value itself.
    """
    if not len(returns):
        return np.zeros(0)
    shifted = values - values[0]
    value, earned = _mean_before(shifted), _mean_before(returns)
    variance = _mean_before(shifted**2) - value**2
    covariance = _mean_before(shifted * returns) - value * earned
    slope = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > LEAST_VARIANCE)
    before = np.arange(len(returns))
    predicted = earned + slope * before / (before + PRIOR_EPISODES) * (shifted - value)
    predicted[0] = values[0]
    return predicted.clip(0, 1)


def _mean_before(numbers: np.ndarray) -> np.ndarray:
    """The mean of the numbers before each one [E]; 0 before the first."""
    sums = np.concatenate([[0.0], np.cumsum(numbers)[:-1]])
    return sums / np.maximum(1, np.arange(len(numbers)))
