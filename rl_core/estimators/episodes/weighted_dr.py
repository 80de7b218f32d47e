"""Weighted doubly robust: Σ_t Σ_e γ^t (W_t (r_t - q_t) + W_{t-1} v_t), with W_t = w_t / Σ_e w_t.

Thomas, Brunskill: Data-Efficient Off-Policy Policy Evaluation for Reinforcement Learning, ICML 2016.
"""

from banditloop.rl_core.estimators.episodes.estimate import Estimate, self_normalised
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes


def weighted_dr(episodes: LoggedEpisodes) -> Estimate:
    """The mean return by sequential DR with weights that sum to 1.

    Where all weights of a step are 0, no logged episode up to there is one that the target policy could have had: the
    value from that step on is the model's.
    """
    weights, discounts = episodes.normalised, episodes.discounts
    errors = self_normalised(discounts * (episodes.rewards - episodes.predicted), weights)
    values = self_normalised(discounts * episodes.expected, episodes.before(weights, episodes.shares))
    return errors + values
