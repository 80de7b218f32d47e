"""Bootstrap Thompson sampling: greedy policies, each trained on another bootstrap sample, vote.

Eckles, Kaptein: Thompson sampling with the online bootstrap, 2014; Vowpal Wabbit's --bag.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Batch
from banditloop.rl_core.agents.arrays import ACTION_FEATURES, Statistics
from banditloop.rl_core.agents.exploration import greedy
from banditloop.rl_core.agents.exploring import ExploringAgent
from banditloop.rl_core.agents.replicates import apart, poisson_weights, together
from banditloop.rl_core.errors import InvalidInput


class Bag(ExploringAgent):
    """Reward models trained on bootstrap samples; each votes for the action with its highest predicted reward.

    How often a sample has an interaction is a Poisson number of mean 1, a function of its event id. So shards merge,
    and resuming equals continuing, where they do for the reward model. One more reward model has every interaction
    once, and predicts the rewards.
    """

    name: Literal["bag"] = "bag"
    policies: int = Field(10, ge=1, le=1000, description="number of bootstrap samples, each with its own reward model")

    @property
    def learns_from_ids(self) -> bool:
        return True

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        return together(*(self.reward_model.initial_statistics(dim, actions) for _ in range(1 + self.policies)))

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        return together(*(self.reward_model.with_actions(part, actions) for part in apart(statistics, self.policies)))

    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        return reduce(self._add, batches, statistics)

    def merge(self, left: Statistics, right: Statistics) -> Statistics:
        pairs = zip(apart(left, self.policies), apart(right, self.policies), strict=True)
        return together(*(self.reward_model.merge(*pair) for pair in pairs))

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether this agent's reward model can resume from the other's, and both have as many samples."""
        return super().can_resume_from(other) and other.get("policies") == self.policies

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        return super().metrics(apart(statistics, 0)[0])

    def weights(self, statistics: Statistics) -> Statistics:
        first, *samples = apart(statistics, self.policies)
        features = {name: first[name] for name in (ACTION_FEATURES,) if name in first}
        return together(super().weights(first), *(self.reward_model.weights(part | features) for part in samples))

    def explore(self, weights: Statistics, observations: Any, eligible: Any = None, xp: Any = np) -> Any:
        _, *samples = apart(weights, self.policies)
        votes = (greedy(self.reward_model.scores(part, observations, xp), eligible, xp) for part in samples)
        return sum(votes) / self.policies

    def _add(self, statistics: Statistics, batch: Batch) -> Statistics:
        if batch.ids is None:
            raise InvalidInput("agent.name = 'bag': the interactions have no ids, by which it draws its samples")
        first, *samples = apart(statistics, self.policies)
        for number, part in enumerate(samples):
            times = poisson_weights(batch.ids, number)
            drawn = batch.take(times > 0)
            weights = times[times > 0] * (1.0 if drawn.sample_weight is None else drawn.sample_weight)
            samples[number] = self.reward_model.update(part, [drawn._replace(sample_weight=weights)])
        return together(self.reward_model.update(first, [batch]), *samples)
