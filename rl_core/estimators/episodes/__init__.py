"""Off-policy estimators for episodes: the mean return that a target policy would have had, from another policy's log.

The episode is the sample. Every estimator is a function of `LoggedEpisodes`; their formulas use, of an episode e,

    r_t, γ^t  reward of step t, and its discount back to the start
    ρ_t       π / p, the target policy's probability of the logged action by its propensity
    w_t       ρ_0 ⋯ ρ_t, the importance weight
    q_t, v_t  a model's value of the logged action under the target policy; the mean over the target policy's actions
"""

from collections.abc import Callable

from banditloop.rl_core.estimators.episodes.estimate import Estimate
from banditloop.rl_core.estimators.episodes.fqe import fqe
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes
from banditloop.rl_core.estimators.episodes.magic import magic
from banditloop.rl_core.estimators.episodes.per_decision_is import per_decision_is
from banditloop.rl_core.estimators.episodes.per_decision_weighted_is import per_decision_weighted_is
from banditloop.rl_core.estimators.episodes.sequential_dr import sequential_dr
from banditloop.rl_core.estimators.episodes.weighted_dr import weighted_dr
from banditloop.rl_core.estimators.episodes.weighted_is import weighted_is

EpisodeEstimator = Callable[[LoggedEpisodes], Estimate]
PRIMARY = "weighted_dr"  # the estimator to look at first
WITH_MODEL = ("weighted_dr", "fqe", "magic", "sequential_dr")
EPISODE_ESTIMATORS: dict[str, EpisodeEstimator] = {
    "weighted_dr": weighted_dr,
    "fqe": fqe,
    "magic": magic,
    "sequential_dr": sequential_dr,
    "per_decision_weighted_is": per_decision_weighted_is,
    "weighted_is": weighted_is,
    "per_decision_is": per_decision_is,
}


def applicable(has_model: bool) -> dict[str, EpisodeEstimator]:
    """The estimators by name, the one to look at first in front; without a model, only those that do not need one."""
    return {name: each for name, each in EPISODE_ESTIMATORS.items() if has_model or name not in WITH_MODEL}


__all__ = [
    "EPISODE_ESTIMATORS",
    "PRIMARY",
    "Estimate",
    "EpisodeEstimator",
    "LoggedEpisodes",
    "applicable",
    *EPISODE_ESTIMATORS,
]
