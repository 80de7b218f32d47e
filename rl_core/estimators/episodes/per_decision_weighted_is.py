"""Per-decision weighted importance sampling: Σ_t Σ_e W_t γ^t r_t, with W_t = w_t / Σ_e w_t.

Precup, Sutton, Singh: Eligibility Traces for Off-policy Policy Evaluation, ICML 2000. An episode that is over keeps its
weight at every later step; otherwise the means of late steps would be over the longest episodes only.
"""

from banditloop.rl_core.estimators.episodes.estimate import Estimate, self_normalised, undefined
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes


def per_decision_weighted_is(episodes: LoggedEpisodes) -> Estimate:
    """The mean return by per-decision weighted IS; undefined (NaN) if all weights of a step are 0."""
    if not episodes.normalised.any(axis=0).all():
        return undefined(len(episodes.shares))
    return self_normalised(episodes.discounts * episodes.rewards, episodes.normalised)
