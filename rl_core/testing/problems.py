"""Problems for agents, from built-in environments: a uniform log to learn from, and later visits with all rewards."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from banditloop.rl_core.agents import Batch, Model
from banditloop.rl_core.config import Config
from banditloop.rl_core.training.on_policy.simulation import Simulation

PROBLEMS: dict[str, dict[str, Any]] = {  # without those that need other packages, or only delay the rewards of others
    "linear": {"name": "linear", "contexts": 200},
    "wheel": {"name": "wheel", "contexts": 200},
    "drifting": {"name": "drifting", "period": 100_000},
    "sparse clicks": {"name": "sparse_clicks", "contexts": 200, "actions": 10},
    "digits": {"name": "classification"},
    "changing movies": {"name": "movielens", "available": 5},
}
LOGGED, VISITS = 4000, 500


class Problem(NamedTuple):
    """Uniformly logged interactions, and visits after them: observations [B, dim] and rewards [B, actions].

    eligible: the actions that may be chosen in each visit, bool [B, actions].
    """

    logged: Batch
    observations: np.ndarray
    eligible: np.ndarray
    rewards: np.ndarray

    def value(self, model: Model) -> float:
        """The mean reward of a model's probabilities."""
        return float((model.probabilities(self.observations, self.eligible) * self.rewards).sum(axis=1).mean())

    def uniform_value(self) -> float:
        """The mean reward of choosing uniformly."""
        return float((self.eligible * self.rewards).sum(axis=1).mean() / self.eligible.sum(axis=1).mean())


@cache
def problem(name: str) -> Problem:
    """The problem of an environment, always the same."""
    simulation, random = Simulation(Config.parse({"environment": PROBLEMS[name]})), np.random.default_rng(0)
    actions, visits = simulation.shape[1], simulation.visits(LOGGED, random)
    eligible = np.ones((LOGGED, actions), bool) if visits.eligible is None else visits.eligible
    chosen = np.where(eligible, random.random((LOGGED, actions)), -1).argmax(axis=1)
    rewards, _ = simulation.feedback(visits, chosen, 0)
    propensities, ids = 1 / eligible.sum(axis=1), np.arange(LOGGED, dtype=np.uint64)
    logged = Batch(visits.observations, chosen, rewards, None, propensities, ids, visits.eligible)
    later = simulation.visits(VISITS, random)
    by_action = (simulation.feedback(later, np.full(VISITS, action), LOGGED)[0] for action in range(actions))
    eligible = np.ones((VISITS, actions), bool) if later.eligible is None else later.eligible
    return Problem(logged, later.observations, eligible, np.stack(list(by_action), axis=1))
