"""A network that predicts the reward of every action, trained as that of neural_epsilon_greedy."""

from typing import Any, Literal

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.agents.reward_models.reward_model import RewardModel

STANDARDISATION = ("mean", "deviation", "reward_scale")
LEAST_DEVIATION = 1e-7  # as Keras' Normalization


class Network(NeuralEpsilonGreedy, RewardModel):
    """A network of ReLU layers that minimises the mean squared error of the predicted rewards by Adam.

    It is trained by TensorFlow, and scored without.
    """

    name: Literal["network"] = "network"  # type: ignore[assignment]

    def weights(self, statistics: Statistics) -> Statistics:
        layers = range(self.hidden_layers + 1)
        names = [*STANDARDISATION, *(f"{kind}_{layer}" for layer in layers for kind in ("kernel", "bias"))]
        return {name: statistics[name] for name in names}

    def shape(self, weights: Statistics) -> tuple[int, int]:
        return len(weights["mean"]), len(weights[f"bias_{self.hidden_layers}"])

    def scores(self, weights: Statistics, observations: Any, xp: Any = np) -> Any:
        deviation = xp.maximum(weights["deviation"], LEAST_DEVIATION)
        values = (observations - weights["mean"]) / deviation
        for layer in range(self.hidden_layers):
            values = xp.maximum(xp.matmul(values, weights[f"kernel_{layer}"]) + weights[f"bias_{layer}"], 0.0)
        last = self.hidden_layers
        values = xp.matmul(values, weights[f"kernel_{last}"]) + weights[f"bias_{last}"]
        return values * weights["reward_scale"][1] + weights["reward_scale"][0]

    def mean_scores(self, statistics: Statistics) -> np.ndarray:
        """Over the contexts of the replay buffer, or in the mean context where it is empty."""
        replayed = statistics["replay_observations"]
        observations = replayed if len(replayed) else statistics["mean"][None]
        weights = {name: array.astype(np.float64) for name, array in self.weights(statistics).items()}
        return self.scores(weights, observations.astype(np.float64)).mean(axis=0)

    def error(self, statistics: Statistics) -> float:
        """That in the last epoch of training, on what was trained on."""
        return float(np.sqrt(statistics["loss"]) * statistics["reward_scale"][1]) if statistics["counts"].any() else 0.0
