"""Sequential doubly robust: mean of Σ_t γ^t (w_t (r_t - q_t) + w_{t-1} v_t).

Jiang, Li: Doubly Robust Off-policy Value Evaluation for Reinforcement Learning, ICML 2016; the sum of its recursion
x_t = v_t + ρ_t (r_t + γ x_{t+1} - q_t) from the end of the episode.
"""

from banditloop.rl_core.estimators.episodes.estimate import Estimate, weighted_mean
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes


def sequential_dr(episodes: LoggedEpisodes) -> Estimate:
    """The model's value, corrected by its weighted errors at every step. Of one step, it is DR."""
    errors = episodes.weights * (episodes.rewards - episodes.predicted)
    values = episodes.before(episodes.weights, 1.0) * episodes.expected
    return weighted_mean((episodes.discounts * (errors + values)).sum(axis=1), episodes.shares)
