"""A neural network that predicts the reward of every action, trained by TF-Agents and served through its SavedModel.

It takes the action with the highest prediction: with the exploration that every served policy mixes in, ε-greedy, of
exact propensities. (Riquelme, Tucker, Snoek: Deep Bayesian Bandits Showdown, ICLR 2018, compare it with others.)

A training goes on from the network of the last one, over what is new and a uniform sample of all that came before
(reservoir sampling as in Vitter, 1985, here by random keys; against forgetting, as in Rolnick et al.: Experience Replay
for Continual Learning, NeurIPS 2019). So it costs the same however long the loop has run.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from rl_core.agents.agent import Agent, Batch, Model, seen
from rl_core.agents.arrays import SAVED_MODEL, Arrays

if TYPE_CHECKING:
    from rl_core.agents.neural_network import Learner

MEMORY = ("memory_observations", "memory_actions", "memory_rewards", "memory_weights", "memory_keys")


class NeuralEpsilonGreedy(Agent):
    """Mean squared error of the predicted rewards, by Adam; hidden layers are rectified linear."""

    name: Literal["neural_epsilon_greedy"] = "neural_epsilon_greedy"
    layers: int = Field(2, ge=1, le=10, description="hidden layers of the network")
    units: int = Field(64, ge=1, le=4096, description="width of each")
    learning_rate: float = Field(0.001, gt=0, le=1, description="of Adam, which begins anew with every training")
    batch: int = Field(64, ge=1, le=8192, description="interactions in one step of it")
    epochs: int = Field(10, ge=1, le=1000, description="how often a training goes over its interactions")
    memory: int = Field(
        10_000, ge=0, le=1_000_000, description="interactions of before, drawn uniformly, that it goes over as well"
    )
    seed: int = Field(0, ge=0, description="of the first weights, and of everything that training draws")

    def start(self, dim: int, actions: int) -> Arrays:
        """He's initial weights, but a last layer of zeros: what was never tried is expected to be worth the mean.

        The first batch sets `mean` and `deviation` of the observations, and the `unit` of rewards.
        """
        random, widths = np.random.default_rng(self.seed), [dim, *[self.units] * self.layers, actions]
        kernels = {
            f"kernel_{layer}": random.normal(0, np.sqrt(2 / before), (before, after)).astype(np.float32)
            for layer, (before, after) in enumerate(itertools.pairwise(widths))
        }
        kernels[f"kernel_{self.layers}"][:] = 0
        biases = {f"bias_{layer}": np.zeros(width, np.float32) for layer, width in enumerate(widths[1:])}
        memory: list[np.ndarray] = [np.zeros((0, dim), np.float32), np.zeros(0, np.int32), *[np.zeros(0)] * 3]
        return {
            **kernels,
            **biases,
            "mean": np.zeros(dim, np.float32),
            "deviation": np.ones(dim, np.float32),
            "unit": np.array([0.0, 1.0]),
            "counts": np.zeros(actions, np.int64),
            "rewards": np.zeros(actions),
            "loss": np.zeros(()),
            **dict(zip(MEMORY, memory, strict=True)),
        }

    def learn(self, statistics: Arrays, batches: Iterable[Batch]) -> Arrays:
        from rl_core.agents.neural_network import Learner  # TensorFlow: only where a network is trained

        learner: Learner | None = None
        for batch in batches:
            if not len(batch.actions):
                continue
            if not statistics["counts"].any():
                statistics = statistics | _units(batch)
            learner = learner or Learner(statistics, self.learning_rate)
            statistics = self._learned(learner, statistics, batch)
        return statistics

    def _learned(self, learner: "Learner", statistics: Arrays, batch: Batch) -> Arrays:
        """The statistics with a batch added: gone over beside what is remembered, and remembered in its turn."""
        arms = len(statistics["counts"])
        random = np.random.default_rng([self.seed, int(statistics["counts"].sum())])
        *rows, keys = _with_memory(statistics, batch, random)
        loss = learner.fit(rows, self.batch, self.epochs, random)
        kept = np.sort(np.argsort(keys)[: self.memory])
        memory = {name: column[kept] for name, column in zip(MEMORY, [*rows, keys], strict=True)}
        sums = {
            "counts": statistics["counts"] + np.bincount(batch.actions, minlength=arms),
            "rewards": statistics["rewards"] + np.bincount(batch.actions, batch.rewards, minlength=arms),
        }
        return statistics | memory | learner.arrays() | sums | {"loss": np.array(loss)}

    def resumes(self, other: dict[str, Any]) -> bool:
        """Whether that one's network has this shape."""
        return super().resumes(other) and all(other[key] == getattr(self, key) for key in ("layers", "units"))

    def metrics(self, statistics: Arrays) -> dict[str, float]:
        return seen(statistics) | {"loss": float(statistics["loss"])}

    def save(self, statistics: Arrays, folder: Path) -> None:
        from rl_core.agents.neural_network import save_network

        save_network(statistics, folder / SAVED_MODEL)

    def load(self, folder: Path) -> Model:
        """The model behind the SavedModel. Imports TensorFlow."""
        from rl_core.agents.neural_model import NeuralModel

        return NeuralModel(folder / SAVED_MODEL)


def _units(batch: Batch) -> Arrays:
    """What stands for 0 and 1 in the network: mean and deviation of a batch, of observations and of rewards."""
    mean, deviation = _spread(batch.observations)
    return {"mean": mean, "deviation": deviation, "unit": np.array(_spread(batch.rewards))}


def _spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over rows; where values do not differ but by rounding, 1 for the latter."""
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 1e-6 * np.abs(values).max(axis=0), deviation, 1)


def _with_memory(statistics: Arrays, batch: Batch, random: np.random.Generator) -> list[np.ndarray]:
    """The columns of what is remembered and of a batch, each new row with a random key: the least are remembered."""
    weights = np.ones(len(batch.actions)) if batch.weights is None else batch.weights
    columns = *batch[:3], weights, random.random(len(batch.actions))
    return [np.concatenate([statistics[name], column]) for name, column in zip(MEMORY, columns, strict=True)]
