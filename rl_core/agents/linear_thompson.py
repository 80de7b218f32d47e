"""Thompson sampling with Bayesian linear regressions whose prior is fitted to all actions.

Thompson: On the Likelihood that One Unknown Probability Exceeds Another, 1933; Agrawal, Goyal: Thompson Sampling for
Contextual Bandits with Linear Payoffs, ICML 2013. Nothing is sampled: the probability that an action's expected reward
is the highest is computed, and is the probability with which the action is taken.
"""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Batch, MergeableAgent, append_zeros, learning_metrics
from banditloop.rl_core.agents.arrays import ACTION_FEATURES, WEIGHTS, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.linear_prior import Posterior, Scale, Sums, fit
from banditloop.rl_core.agents.linear_thompson_model import LinearThompsonModel
from banditloop.rl_core.agents.sums import add_interactions
from banditloop.rl_core.errors import InvalidInput


class LinearThompson(MergeableAgent):
    """Thompson sampling: an action's probability is that of its expected reward being the highest.

    Actions learn from each other: what is usual among them is where each starts from.
    """

    EXPLORATION: ClassVar[float] = 0.01

    name: Literal["linear_thompson"] = "linear_thompson"
    alpha: float = Field(
        0.5,
        gt=0,
        description="factor of the standard deviations: 1 is Thompson sampling; less explores less, and learned faster "
        "on all tasks of `make bench-learn`",
    )

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        return {
            "covariances": np.zeros((actions, dim + 1, dim + 1)),
            "vectors": np.zeros((actions, dim + 1)),
            "squares": np.zeros(actions),
            "counts": np.zeros(actions, np.int64),
            "rewards": np.zeros(actions),
        }

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        return {name: append_zeros(array, actions) for name, array in statistics.items()}

    def accumulate(self, statistics: Statistics, batch: Batch) -> Statistics:
        observations, actions, rewards, weights = batch[:4]
        x = np.hstack([np.ones((len(observations), 1)), observations])
        squares = rewards**2 if weights is None else weights * rewards**2
        total = statistics["squares"] + np.bincount(actions, squares, minlength=len(statistics["squares"]))
        return add_interactions(statistics, x, actions, rewards, weights) | {"squares": total}

    def merge(self, left: Statistics, right: Statistics) -> Statistics:
        return {name: left[name] + right[name] for name in left}

    def solve(self, statistics: Statistics) -> LinearThompsonModel:
        """The model of the statistics. An untried action gets the weights that its features predict."""
        return LinearThompsonModel.of(*_posterior(statistics), self.alpha)

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        posterior, scale = _posterior(statistics)
        return learning_metrics(statistics) | {"noise": float(np.sqrt(posterior.noise) * scale.reward_deviation)}

    def save(self, statistics: Statistics, folder: Path) -> None:
        write_arrays(folder / WEIGHTS, self.solve(statistics).arrays())

    def export_saved_model(self, statistics: Statistics, folder: Path) -> None:
        from banditloop.rl_core.agents.linear_thompson_saved_model import save_linear_thompson  # imports TensorFlow

        save_linear_thompson(self.solve(statistics), folder)

    def load(self, folder: Path) -> LinearThompsonModel:
        """The model of weights.npz. Does not import TensorFlow."""
        try:
            return LinearThompsonModel(**read_arrays(folder / WEIGHTS))
        except (TypeError, ValueError):
            raise InvalidInput(f"{folder / WEIGHTS}: not the weights of a {self.name} policy") from None


def _posterior(statistics: Statistics) -> tuple[Posterior, Scale]:
    """The posterior of the weights in standardised units, and these."""
    sums, scale = Sums(statistics["covariances"], statistics["vectors"], statistics["squares"]).standardised()
    return fit(sums, statistics.get(ACTION_FEATURES, np.ones((len(sums.squares), 1)))), scale
