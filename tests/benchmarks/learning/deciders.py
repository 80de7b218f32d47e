"""What decides in the served loop: an agent of ours, or one of another library, fed the same interactions."""

import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np

from banditloop.rl_core.agents import ACTION_FEATURES, Agent, Batch, Model, Statistics
from banditloop.rl_core.policies.uniform import UniformModel


class Decider(Protocol):
    """Learns from batches, and says the probability of every action [B, actions]."""

    def start(self, dim: int, actions: int, features: np.ndarray | None) -> None:
        """Forget everything; features: of the actions [actions, k], if they have any."""

    def learn(self, batch: Batch) -> None:
        """Learn from more interactions."""

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        """The probabilities of actions [B, actions], without the floor."""


class OurDecider:
    """An agent as a loop has it: trained, saved, and loaded to serve."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def start(self, dim: int, actions: int, features: np.ndarray | None) -> None:
        self._statistics = self._agent.initial_statistics(dim, actions)
        self._features: Statistics = {} if features is None else {ACTION_FEATURES: features}
        self._model: Model = UniformModel(dim, actions)

    def learn(self, batch: Batch) -> None:
        self._statistics = self._agent.update(self._agent.resumed(self._statistics), [batch])
        with tempfile.TemporaryDirectory() as folder:
            self._agent.save(self._statistics | self._features, Path(folder))
            self._model = self._agent.load(Path(folder))

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        return self._model.probabilities(observations)
