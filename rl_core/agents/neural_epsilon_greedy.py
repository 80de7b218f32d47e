"""A neural network that predicts the reward of every action, trained by TF-Agents and served through its SavedModel.

It takes the action with the highest prediction: with the exploration that every served policy mixes in, ε-greedy, of
exact propensities. (Riquelme, Tucker, Snoek: Deep Bayesian Bandits Showdown, ICLR 2018, compare it with others.)

What it learns from it also remembers, as much as `memory` allows. As long as that is all, every training begins anew on
all of it. Later ones go on from the network of the last, over what is new and what is remembered: a uniform sample of
all that came (Vitter's reservoir of 1985, by random keys; against forgetting, as in Rolnick et al.: Experience Replay
for Continual Learning, NeurIPS 2019). So a training costs the same however long the loop has run.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from rl_core.agents.agent import Agent, Batch, Model, seen, tally
from rl_core.agents.arrays import SAVED_MODEL, Arrays

if TYPE_CHECKING:
    pass

MEMORY = ("memory_observations", "memory_actions", "memory_rewards", "memory_weights", "memory_keys")


class NeuralEpsilonGreedy(Agent):
    """Mean squared error of the predicted rewards, by Adam; hidden layers are rectified linear."""

    name: Literal["neural_epsilon_greedy"] = "neural_epsilon_greedy"
    layers: int = Field(2, ge=1, le=10, description="hidden layers of the network")
    units: int = Field(64, ge=1, le=4096, description="width of each")
    learning_rate: float = Field(0.001, gt=0, le=1, description="size of Adam's steps")
    minibatch: int = Field(64, ge=1, le=8192, description="interactions in one step")
    epochs: int = Field(20, ge=1, le=1000, description="passes over the interactions, some thousand new ones at a time")
    memory: int = Field(
        10_000, ge=0, le=1_000_000, description="interactions of before, drawn uniformly, that it goes over as well"
    )
    seed: int = Field(0, ge=0, description="of the first weights, and of everything that training draws")

    def start(self, dim: int, actions: int) -> Arrays:
        return {
            **self._initial(dim, actions),
            "mean": np.zeros(dim, np.float32),
            "deviation": np.ones(dim, np.float32),
            "unit": np.array([0.0, 1.0]),
            "counts": np.zeros(actions, np.int64),
            "rewards": np.zeros(actions),
            "loss": np.zeros(()),
            "memory_observations": np.zeros((0, dim), np.float32),
            "memory_actions": np.zeros(0, np.int32),
            "memory_rewards": np.zeros(0),
            "memory_weights": np.zeros(0),
            "memory_keys": np.zeros(0),
        }

    def learn(self, statistics: Arrays, batches: Iterable[Batch]) -> Arrays:
        from rl_core.agents.neural_network import Learner  # TensorFlow: only where a network is trained

        learner: Learner | None = None
        for batch in batches:
            if not len(batch.actions):
                continue
            random = np.random.default_rng([self.seed, int(statistics["counts"].sum())])
            *rows, keys = _with_memory(statistics, batch, random)
            if len(statistics["memory_keys"]) == statistics["counts"].sum():  # all that came is in the rows
                begun = self._initial(len(statistics["mean"]), len(statistics["counts"])) | _units(rows)
                statistics, learner = statistics | begun, None
            learner = learner or Learner(statistics, self.learning_rate)
            loss = learner.fit(rows, self.minibatch, self.epochs, random)
            tallied = tally(batch, len(statistics["counts"]))
            sums = {name: statistics[name] + more for name, more in tallied.items()}
            statistics = statistics | learner.arrays() | self._remembered([*rows, keys]) | sums
            statistics["loss"] = np.array(loss)
        return statistics

    def resumes(self, other: dict[str, Any]) -> bool:
        """Whether that one's network has this shape."""
        return super().resumes(other) and all(other.get(key) == getattr(self, key) for key in ("layers", "units"))

    def metrics(self, statistics: Arrays) -> dict[str, float]:
        return seen(statistics) | {"loss": float(statistics["loss"])}

    def save(self, statistics: Arrays, folder: Path) -> None:
        from rl_core.agents.neural_network import save_network

        save_network(statistics, folder / SAVED_MODEL)

    def load(self, folder: Path) -> Model:
        """The model behind the SavedModel. Imports TensorFlow."""
        from rl_core.agents.neural_model import NeuralModel

        return NeuralModel(folder / SAVED_MODEL)

    def _initial(self, dim: int, actions: int) -> Arrays:
        """He's weights, but a last layer of zeros: what was never tried is expected to be worth the mean."""
        random, widths = np.random.default_rng(self.seed), [dim, *[self.units] * self.layers, actions]
        kernels = {
            f"kernel_{layer}": random.normal(0, np.sqrt(2 / before), (before, after)).astype(np.float32)
            for layer, (before, after) in enumerate(itertools.pairwise(widths))
        }
        kernels[f"kernel_{self.layers}"][:] = 0
        return kernels | {f"bias_{layer}": np.zeros(width, np.float32) for layer, width in enumerate(widths[1:])}

    def _remembered(self, columns: list[np.ndarray]) -> Arrays:
        """What is remembered of rows: those with the least keys."""
        kept = np.sort(np.argsort(columns[-1])[: self.memory])
        return {name: column[kept] for name, column in zip(MEMORY, columns, strict=True)}


def _with_memory(statistics: Arrays, batch: Batch, random: np.random.Generator) -> list[np.ndarray]:
    """Columns of what is remembered and a batch: observations [B, dim], actions, rewards, weights and keys [B].

    The key of a row is drawn once, uniformly.
    """
    weights = np.ones(len(batch.actions)) if batch.weights is None else batch.weights
    columns = *batch[:3], weights, random.random(len(batch.actions))
    return [np.concatenate([statistics[name], column]) for name, column in zip(MEMORY, columns, strict=True)]


def _units(rows: list[np.ndarray]) -> Arrays:
    """What stands for 0 and 1 in the network: mean and deviation [dim] of observations, and [2] of rewards."""
    observations, _, rewards, _ = rows
    mean, deviation = _spread(observations)
    return {
        "mean": mean.astype(np.float32),
        "deviation": deviation.astype(np.float32),
        "unit": np.array(_spread(rewards)),
    }


def _spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over rows, in double precision; where nothing differs, 1 for the latter."""
    deviation = np.where((values == values[0]).all(axis=0), 1.0, values.std(axis=0, dtype=np.float64))
    return values.mean(axis=0, dtype=np.float64), deviation
