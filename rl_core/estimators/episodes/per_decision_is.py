"""Per-decision importance sampling: mean of Σ_t γ^t w_t r_t.

Precup, Sutton, Singh: Eligibility Traces for Off-policy Policy Evaluation, ICML 2000. Unbiased; its variance grows
exponentially with the number of steps.
"""

from banditloop.rl_core.estimators.episodes.estimate import Estimate, weighted_mean
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes


def per_decision_is(episodes: LoggedEpisodes) -> Estimate:
    """The mean return by per-decision IS, for short episodes. Of one step, it is IPS."""
    return weighted_mean((episodes.discounts * episodes.weights * episodes.rewards).sum(axis=1), episodes.shares)
