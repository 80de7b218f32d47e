"""The base of agents that explore over a reward model: they differ in how scores become probabilities."""

import abc
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, SerializeAsAny, field_validator

from banditloop.rl_core.agents.agent import Batch, Model
from banditloop.rl_core.agents.arrays import WEIGHTS, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.mergeable import MergeableAgent
from banditloop.rl_core.agents.reward_models import REWARD_MODELS, RewardModel, Ridge
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.registry import registered

LEAST_ERROR = 1e-12  # keeps numbers finite where a model has no error, and so no exploration is left


class ExploringAgent(MergeableAgent):
    """An agent that predicts rewards by a reward model, and explores by the predictions.

    Its statistics are the reward model's, and merge where these do.
    """

    reward_model: SerializeAsAny[RewardModel] = Field(
        Ridge(), description="what predicts the reward of every action, with its own keys"
    )

    @field_validator("reward_model", mode="before")
    @classmethod
    def _find_reward_model(cls, values: Any) -> RewardModel:
        return registered(REWARD_MODELS, RewardModel, values, "reward_model")

    @abc.abstractmethod
    def explore(self, weights: Statistics, observations: Any, eligible: Any = None, xp: Any = np) -> Any:
        """The probability of every action [B, actions]; weights: what `weights` returns; xp: as in `exploration`."""

    def weights(self, statistics: Statistics) -> Statistics:
        """The arrays that scoring and exploring need."""
        scalars = {"interactions": statistics["counts"].sum(), "error": self.reward_model.error(statistics)}
        return self.reward_model.weights(statistics) | {
            name: np.array(value, np.float64) for name, value in scalars.items()
        }

    @property
    def is_mergeable(self) -> bool:
        return self.reward_model.is_mergeable

    @property
    def learns_from_eligible(self) -> bool:
        return self.reward_model.learns_from_eligible

    @property
    def learns_from_ids(self) -> bool:
        return self.reward_model.learns_from_ids

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        return self.reward_model.initial_statistics(dim, actions)

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        return self.reward_model.with_actions(statistics, actions)

    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        return self.reward_model.update(statistics, batches)

    def add(self, statistics: Statistics, batches: Iterable[Batch], before: Statistics | None) -> Statistics:
        return self.update(statistics, batches)

    def accumulate(self, statistics: Statistics, batch: Batch) -> Statistics:
        return self.update(statistics, [batch])

    def merge(self, left: Statistics, right: Statistics) -> Statistics:
        return self.reward_model.merge(left, right)

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether this agent's reward model can resume from the other's."""
        return super().can_resume_from(other) and self.reward_model.can_resume_from(other.get("reward_model", {}))

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        return self.reward_model.metrics(statistics)

    def save(self, statistics: Statistics, folder: Path) -> None:
        write_arrays(folder / WEIGHTS, self.weights(statistics))

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        from banditloop.rl_core.agents.exploring_saved_model import save_exploring  # imports TensorFlow

        save_exploring(self, folder, dim, actions)

    def load(self, folder: Path) -> "ExploringModel":
        """The model of weights.npz. Does not import TensorFlow."""
        path = folder / WEIGHTS
        model = self._model(read_arrays(path))
        try:
            dim, actions = model.shape
            fits = model.probabilities(np.zeros((1, dim))).shape == (1, actions)
        except (KeyError, ValueError, IndexError):
            fits = False
        if not fits:
            raise InvalidInput(f"{path}: arrays are missing or differ in shape; not the weights of {self.name}")
        return model

    def model(self, statistics: Statistics) -> "ExploringModel":
        return self._model(self.weights(statistics))

    def _model(self, weights: Statistics) -> "ExploringModel":
        return ExploringModel(self, {name: array.astype(np.float64) for name, array in weights.items()})


@dataclass(frozen=True)
class ExploringModel(Model):
    """An agent and its weights."""

    agent: ExploringAgent
    weights: Statistics

    @property
    def shape(self) -> tuple[int, int]:
        return self.agent.reward_model.shape(self.weights)

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(self.agent.explore(self.weights, observations.astype(np.float64), eligible))

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return np.asarray(self.agent.reward_model.scores(self.weights, observations.astype(np.float64)))
