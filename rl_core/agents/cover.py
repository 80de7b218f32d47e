"""Online cover: policies that differ where it is worth exploring vote.

Agarwal, Hsu, Kale, Langford, Li, Schapire: Taming the Monster, ICML 2014, as Vowpal Wabbit's --cover --nounif
approximates it (Bietti, Agarwal, Langford: A Contextual Bandit Bake-off, JMLR 2021, Cover-NU). The first policy takes
the action with the highest predicted reward. Each further one adds to the prediction a bonus for actions that the
policies before it take rarely: psi · s · K ε · ε / p. There ε = min(1/K, 1/√(K n)) after n interactions with K actions
to choose from, p ≥ ε is the action's probability under the votes of those policies mixed with exploration ε, and s the
root mean squared error of the predictions. For an action that none takes, p = ε: the bonus is psi · s √(K / n), where
s √(K / n) is the standard error of an action that was taken n / K times.
(Vowpal Wabbit's psi · ε / p does not become smaller. Its uniform exploration is policy.exploration here.)

ε / p is predicted from the observation, by a ridge regression on its values in the interactions of every batch, which
are computed when the batch is learned. So the statistics depend on the batches, and those of shards do not merge.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Batch, append_zeros
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import eligible_actions, greedy
from banditloop.rl_core.agents.exploring import ExploringAgent
from banditloop.rl_core.agents.reward_models.ridge import gram, linear_scores, solved, with_constant

RIDGE = 1.0  # of the regression of the bonus


class Cover(ExploringAgent):
    """The votes of policies that are trained to differ where little is known."""

    name: Literal["cover"] = "cover"
    policies: int = Field(8, ge=1, le=1000, description="number of policies that vote")
    psi: float = Field(
        3.0,
        ge=0,
        description="size of the bonus for actions that the other policies rarely take, in standard errors",
    )

    @property
    def is_mergeable(self) -> bool:
        return False

    @property
    def learns_from_eligible(self) -> bool:
        return True

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        return super().initial_statistics(dim, actions) | {
            "cover_gram": np.zeros((actions, dim + 1, dim + 1)),
            "cover_bonuses": np.zeros((actions, self.policies - 1, dim + 1)),
        }

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        own = {name: append_zeros(array, actions) for name, array in statistics.items() if name.startswith("cover_")}
        return super().with_actions(_without(statistics), actions) | own

    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        return reduce(self._add, batches, statistics)

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether this agent's reward model can resume from the other's, and both have as many policies."""
        return super().can_resume_from(other) and other.get("policies") == self.policies

    def weights(self, statistics: Statistics) -> Statistics:
        bonuses = [self._bonus(statistics, number) for number in range(self.policies - 1)]
        stacked = np.stack(bonuses) if bonuses else np.zeros((0, *statistics["cover_gram"].shape[:2]))
        return super().weights(_without(statistics)) | {"cover_bonuses": stacked}

    def explore(self, weights: Statistics, observations: Any, eligible: Any = None, xp: Any = np) -> Any:
        scores = self.reward_model.scores(weights, observations, xp)
        least, votes = _least(scores, weights["interactions"], eligible, xp), greedy(scores, eligible, xp)
        scale = self.psi * weights["error"] * least * eligible_actions(scores, eligible, xp)
        for number in range(self.policies - 1):
            rarity = linear_scores(weights["cover_bonuses"][number], observations, xp)
            votes = votes + greedy(scores + scale * rarity, eligible, xp)
        return votes / self.policies

    def _add(self, statistics: Statistics, batch: Batch) -> Statistics:
        """The statistics with a batch added, the bonuses in the order of the policies."""
        before = statistics["counts"].sum()
        own = {name: statistics[name] for name in ("cover_gram", "cover_bonuses")}
        learned = super().update(_without(statistics), [batch])
        x, error = with_constant(batch.observations), self.reward_model.error(learned)
        scores = self.reward_model.scores(self.reward_model.weights(learned), batch.observations.astype(np.float64))
        least = _least(scores, before + 1 + np.arange(len(x))[:, None], batch.eligible)
        scale = self.psi * error * least * eligible_actions(scores, batch.eligible)
        own["cover_gram"] = own["cover_gram"] + gram(batch._replace(observations=x), len(statistics["counts"]))
        own["cover_bonuses"] = own["cover_bonuses"].copy()
        weighted = x if batch.sample_weight is None else x * batch.sample_weight[:, None]
        votes = greedy(scores, batch.eligible)
        for number in range(self.policies - 1):
            rarity = (least / _mixed(votes / (number + 1), least, batch.eligible)).clip(0, 1)
            rarity = rarity if batch.eligible is None else rarity * batch.eligible
            own["cover_bonuses"][:, number] += rarity.T @ weighted
            votes += greedy(scores + scale * (x @ self._bonus(own, number).T), batch.eligible)
        return learned | own

    def _bonus(self, statistics: Statistics, number: int) -> np.ndarray:
        """The weights of the bonus of a policy after the first [actions, dim + 1]."""
        return solved(statistics["cover_gram"], statistics["cover_bonuses"][:, number], RIDGE)


def _without(statistics: Statistics) -> Statistics:
    """The reward model's own statistics."""
    return {name: array for name, array in statistics.items() if not name.startswith("cover_")}


def _least(scores: Any, interactions: Any, eligible: Any = None, xp: Any = np) -> Any:
    """The least probability of an eligible action [B, 1]."""
    actions = eligible_actions(scores, eligible, xp)
    return xp.minimum(1 / actions, 1 / xp.sqrt(actions * xp.maximum(interactions, 1.0)))


def _mixed(votes: np.ndarray, least: np.ndarray, eligible: np.ndarray | None) -> np.ndarray:
    """Probabilities [B, actions] of which the least is `least` [B, 1], and the rest is the votes'."""
    return (1 - eligible_actions(votes, eligible) * least) * votes + least
