"""Fitted Q evaluation, the direct method for episodes: mean of v_0, the model's value at the first step.

Le, Voloshin, Yue: Batch Policy Learning under Constraints, ICML 2019; `episodes.fitted_values` fits the model.
"""

from banditloop.rl_core.estimators.episodes.estimate import Estimate, weighted_mean
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes


def fqe(episodes: LoggedEpisodes) -> Estimate:
    """The mean return by FQE: the model's value, with the model's bias, which its interval does not contain.

    The interval includes the variance of the fit, if the model was fitted to these episodes.
    """
    start = weighted_mean(episodes.expected[:, 0], episodes.shares)
    return start if episodes.fit_influence is None else start + Estimate(0.0, episodes.fit_influence)
