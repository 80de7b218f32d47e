"""Thompson sampling with Bayesian linear regressions whose prior is fitted to all actions.

Thompson: On the Likelihood that One Unknown Probability Exceeds Another, 1933; Agrawal, Goyal: Thompson Sampling for
Contextual Bandits with Linear Payoffs, ICML 2013. Nothing is sampled: the probability that an action's expected reward
is the highest is computed, and is the probability with which the action is taken.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Batch, append_zeros, learning_metrics
from banditloop.rl_core.agents.arrays import (
    ACTION_FEATURES,
    WEIGHTS,
    Statistics,
    read_arrays,
    write_arrays,
)
from banditloop.rl_core.agents.forgetting import RECENT, RECENT_HALF_LIFE, evidence, faded, without_the_past
from banditloop.rl_core.agents.linear_prior import Regressions, Sums
from banditloop.rl_core.agents.linear_thompson_model import LinearThompsonModel
from banditloop.rl_core.agents.mergeable import MergeableAgent
from banditloop.rl_core.agents.sums import add_interactions
from banditloop.rl_core.errors import InvalidInput

PROGRESS = {"never": (), "number": ("added",), "auto": ("added", "evidence")}  # statistics without an axis of actions


class LinearThompson(MergeableAgent):
    """Thompson sampling: an action's probability is that of its expected reward being the highest.

    Actions learn from each other: they share a prior, which is fitted to all of them.
    """

    EXPLORATION: ClassVar[float] = 0.01

    name: Literal["linear_thompson"] = "linear_thompson"
    alpha: float = Field(
        0.5,
        gt=0,
        description="factor of the standard deviations: 1 is Thompson sampling; less explores less, and learned faster "
        "on all tasks of `make bench-learn`",
    )

    half_life: Literal["auto", "never"] | Annotated[float, Field(gt=0)] = Field(
        "auto",
        description="auto: count all interactions alike until recent ones predict better, then drop the older ones; "
        "never: count all alike; a number: the weight of an interaction halves after that many, applied once per "
        "training",
    )

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        sums = {
            "covariances": np.zeros((actions, dim + 1, dim + 1)),
            "vectors": np.zeros((actions, dim + 1)),
            "squares": np.zeros(actions),
        }
        totals = {"counts": np.zeros(actions, np.int64), "rewards": np.zeros(actions)}
        recent = {RECENT + name: array.copy() for name, array in sums.items()} if self._forgets == "auto" else {}
        return sums | totals | recent | {name: np.zeros(1) for name in PROGRESS[self._forgets]}

    @property
    def learns_from_ids(self) -> bool:
        return self.half_life == "auto"

    @property
    def _forgets(self) -> str:
        return _forgets(self.half_life)

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        progress = PROGRESS[self._forgets]
        return {name: array if name in progress else append_zeros(array, actions) for name, array in statistics.items()}

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        return super().can_resume_from(other) and _forgets(other.get("half_life", "never")) == self._forgets

    def resumed(self, statistics: Statistics) -> Statistics:
        if self.half_life == "never":
            return statistics
        if self.half_life == "auto":
            return faded(without_the_past(statistics), RECENT_HALF_LIFE, RECENT)
        return faded(statistics, self.half_life)

    @property
    def learns_from_before(self) -> bool:
        return self.half_life == "auto"

    def add(self, statistics: Statistics, batches: Iterable[Batch], before: Statistics | None) -> Statistics:
        if not self.learns_from_before or before is None or not before["counts"].any():
            return super().add(statistics, batches, before)
        everything, recent = _regressions(before), _regressions(before, RECENT)
        for batch in batches:
            self.accumulate(statistics, batch)["evidence"] += evidence(everything, recent, batch)
        return statistics

    def accumulate(self, statistics: Statistics, batch: Batch) -> Statistics:
        observations, actions, rewards, weights = batch[:4]
        x = np.column_stack([np.ones(len(actions), observations.dtype), observations])
        squares = rewards.astype(np.float64) ** 2 * (1.0 if weights is None else weights)
        prefixes = ("", RECENT) if self.half_life == "auto" else ("",)
        add_interactions(statistics, x, actions, rewards, weights, prefixes)
        for prefix in prefixes:
            statistics[f"{prefix}squares"] += np.bincount(actions, squares, len(statistics["squares"]))
        if self.half_life != "never":
            statistics["added"] += len(actions)
        return statistics

    def merge(self, left: Statistics, right: Statistics) -> Statistics:
        return {name: left[name] + right[name] for name in left}

    def solve(self, statistics: Statistics) -> LinearThompsonModel:
        """The model of the statistics. An untried action gets the weights that its features predict."""
        return LinearThompsonModel.of(_regressions(statistics), self.alpha)

    def model(self, statistics: Statistics) -> LinearThompsonModel:
        return self.solve(statistics)

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        _, scale, prior = _regressions(statistics)
        return learning_metrics(statistics) | {"noise": float(np.sqrt(prior.noise) * scale.reward_deviation)}

    def save(self, statistics: Statistics, folder: Path) -> None:
        write_arrays(folder / WEIGHTS, self.solve(statistics).arrays())

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        from banditloop.rl_core.agents.linear_thompson_saved_model import save_linear_thompson  # imports TensorFlow

        save_linear_thompson(folder, dim, actions)

    def load(self, folder: Path) -> LinearThompsonModel:
        """The model of weights.npz. Does not import TensorFlow."""
        try:
            return LinearThompsonModel(**read_arrays(folder / WEIGHTS))
        except (TypeError, ValueError):
            raise InvalidInput(f"{folder / WEIGHTS}: not the weights of a {self.name} policy") from None


def _forgets(half_life: Any) -> str:
    """The kind of a half-life, on which the arrays of the statistics depend."""
    return half_life if half_life in PROGRESS else "number"


def _regressions(statistics: Statistics, prefix: str = "") -> Regressions:
    """The regressions of the sums of a prefix."""
    sums = Sums.of(statistics, prefix)
    return Regressions.fitted(sums, statistics.get(ACTION_FEATURES, np.ones((len(sums.squares), 1))))
