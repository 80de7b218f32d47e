"""A neural network that predicts the reward of every action, trained and served without TensorFlow.

The policy takes the action with the highest prediction. Together with the uniform exploration that every served policy
mixes in, that is ε-greedy with exact propensities. (Riquelme, Tucker, Snoek: Deep Bayesian Bandits Showdown, ICLR 2018,
compare it with others.)

The statistics hold a replay buffer of at most `replay_size` interactions. While the buffer holds all interactions so
far, every training starts from the initial weights and trains on all of them. After that, training continues from the
last network on the new interactions and the buffer, which is then a uniform sample of all interactions (reservoir
sampling by random keys: Vitter 1985; against forgetting: Rolnick et al., Experience Replay for Continual Learning,
NeurIPS 2019). The cost of a training therefore does not grow with the age of the loop. A training with a larger
`replay_size` than the last one's reads the whole log again.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Agent, Batch, Model, append_zeros, learning_metrics, reward_sums
from banditloop.rl_core.agents.arrays import STATISTICS, WEIGHTS, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.network import initial_layers, named_arrays
from banditloop.rl_core.agents.neural_model import NeuralModel, mean_std, served_arrays
from banditloop.rl_core.agents.neural_network import Learner

REPLAY = ("replay_observations", "replay_actions", "replay_rewards", "replay_weights", "replay_keys")
SQUARED_ERROR = "squared_error"  # not in the initial statistics, since those from before version 0.6.0 lack it


class NeuralEpsilonGreedy(Agent):
    """A network of ReLU layers that minimises the mean squared error of the predicted rewards by Adam."""

    name: Literal["neural_epsilon_greedy"] = "neural_epsilon_greedy"
    hidden_layers: int = Field(2, ge=1, le=10, description="number of hidden layers")
    hidden_units: int = Field(64, ge=1, le=4096, description="number of units in each hidden layer")
    learning_rate: float = Field(0.001, gt=0, le=1, description="learning rate of Adam")
    batch_size: int = Field(64, ge=1, le=8192, description="interactions per gradient step")
    epochs: int = Field(
        20, ge=1, le=1000, description="passes over each batch of some thousand new interactions and the replayed ones"
    )
    replay_size: int = Field(
        10_000, ge=0, le=1_000_000, description="earlier interactions, a uniform sample, that are trained on again"
    )
    seed: int = Field(0, ge=0, description="seed of the initial weights and of all random draws in training")

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        return {
            **self._initial_weights(dim, actions),
            "mean": np.zeros(dim, np.float32),
            "deviation": np.ones(dim, np.float32),
            "reward_scale": np.array([0.0, 1.0]),
            "counts": np.zeros(actions, np.int64),
            "rewards": np.zeros(actions),
            "loss": np.zeros(()),
            "replay_observations": np.zeros((0, dim), np.float32),
            "replay_actions": np.zeros(0, np.int32),
            "replay_rewards": np.zeros(0),
            "replay_weights": np.zeros(0),
            "replay_keys": np.zeros(0),
        }

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        """The network's last layer predicts the mean reward for untried actions."""
        last = f"kernel_{self.hidden_layers}", f"bias_{self.hidden_layers}"
        per_action = {
            name: append_zeros(statistics[name], actions, statistics[name].ndim - 1)
            for name in (*last, "counts", "rewards")
        }
        return statistics | per_action

    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        learner: Learner | None = None
        for batch in batches:
            if not len(batch.actions):
                continue
            statistics = statistics | {SQUARED_ERROR: _squared_error(statistics, batch)}
            random = np.random.default_rng([self.seed, int(statistics["counts"].sum())])
            *rows, keys = _with_replay(statistics, batch, random)
            if len(statistics["replay_keys"]) == statistics["counts"].sum():  # the rows are all interactions so far
                weights = self._initial_weights(len(statistics["mean"]), len(statistics["counts"]))
                statistics, learner = statistics | weights | _standardisation(rows), None
            learner = learner or Learner(statistics, self.learning_rate)
            loss = learner.fit(rows, self.batch_size, self.epochs, random)
            added = reward_sums(batch, len(statistics["counts"]))
            sums = {name: statistics[name] + array for name, array in added.items()}
            statistics = statistics | learner.weights() | self._replayed([*rows, keys]) | sums
            statistics["loss"] = np.array(loss)
        return statistics

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether the other agent's network has the same shape, and its replay buffer at least this one's size.

        A larger buffer could not be filled with a uniform sample of the interactions that the other one dropped.
        """
        has_same_shape = all(other.get(key) == getattr(self, key) for key in ("hidden_layers", "hidden_units"))
        return super().can_resume_from(other) and has_same_shape and other.get("replay_size", 0) >= self.replay_size

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        return learning_metrics(statistics) | {
            "loss": float(statistics["loss"]),
            "error": prediction_error(statistics),
        }

    def save(self, statistics: Statistics, folder: Path) -> None:
        write_arrays(folder / WEIGHTS, served_arrays(statistics))

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        from banditloop.rl_core.agents.neural_saved_model import save_network  # imports TensorFlow

        save_network(folder, actions)

    def model(self, statistics: Statistics) -> Model:
        return NeuralModel.of(statistics)

    def load(self, folder: Path) -> Model:
        """The model of weights.npz. Does not import TensorFlow."""
        weights = folder / WEIGHTS
        path = weights if weights.exists() else folder / STATISTICS  # from before 0.6.0, without weights
        return NeuralModel.checked(path, read_arrays(path))

    def _initial_weights(self, dim: int, actions: int) -> Statistics:
        """He initialisation, but zeros in the last layer, so that untried actions are predicted the mean reward."""
        widths = [dim, *[self.hidden_units] * self.hidden_layers, actions]
        return named_arrays(initial_layers(widths, "relu", np.random.default_rng(self.seed)))

    def _replayed(self, columns: list[np.ndarray]) -> Statistics:
        """The replay buffer: the rows with the `replay_size` smallest keys."""
        rows = np.sort(np.argsort(columns[-1])[: self.replay_size])
        return {name: column[rows] for name, column in zip(REPLAY, columns, strict=True)}


def prediction_error(statistics: Statistics) -> float:
    """The root mean squared error of predicted rewards one step ahead: of interactions before training on them.

    It is in units of the reward, and 0 without interactions. (Blum, Kalai, Langford: Beating the Hold-Out, COLT 1999.)
    """
    return float(np.sqrt(statistics.get(SQUARED_ERROR, 0.0)))


def _squared_error(statistics: Statistics, batch: Batch) -> np.ndarray:
    """The mean squared error one step ahead [], the next batch included; for the first, the rewards' variance."""
    weights, before = batch.sample_weight, statistics.get(SQUARED_ERROR)
    if not statistics["counts"].any():
        errors = batch.rewards - np.average(batch.rewards, weights=weights)
    else:
        errors = batch.rewards - NeuralModel.of(statistics).expected_rewards_of(batch.observations, batch.actions)
    latest = np.average(errors**2, weights=weights)
    if before is None:
        return np.array(latest)
    share = len(errors) / (len(errors) + statistics["counts"].sum())
    return np.array(share * latest + (1 - share) * before)


def _with_replay(statistics: Statistics, batch: Batch, random: np.random.Generator) -> list[np.ndarray]:
    """Columns of the replay buffer and a batch: observations [B, dim], actions, rewards, sample weights and keys [B].

    The key of a row is drawn uniformly, once.
    """
    sample_weight = np.ones(len(batch.actions)) if batch.sample_weight is None else batch.sample_weight
    columns = *batch[:3], sample_weight, random.random(len(batch.actions))
    return [np.concatenate([statistics[name], column]) for name, column in zip(REPLAY, columns, strict=True)]


def _standardisation(rows: list[np.ndarray]) -> Statistics:
    """Mean and standard deviation used to standardise observations, [dim] each, and rewards, together [2]."""
    observations, _, rewards, _ = rows
    mean, deviation = mean_std(observations)
    return {
        "mean": mean.astype(np.float32),
        "deviation": deviation.astype(np.float32),
        "reward_scale": np.array(mean_std(rewards)),
    }
