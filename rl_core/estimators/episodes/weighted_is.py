"""Weighted importance sampling: Σ w_T G / Σ w_T, where G is an episode's return and w_T the weight at its end.

Precup, Sutton, Singh: Eligibility Traces for Off-policy Policy Evaluation, ICML 2000.
"""

from banditloop.rl_core.estimators.episodes.estimate import Estimate, self_normalised, undefined
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes


def weighted_is(episodes: LoggedEpisodes) -> Estimate:
    """The mean return by weighted IS, within the range of the log's; NaN if all weights are 0. Of one step, SNIPS."""
    weights = episodes.normalised[:, -1:]
    if not weights.any():
        return undefined(len(weights))
    return self_normalised(episodes.returns[:, None], weights)
