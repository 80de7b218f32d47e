"""A network that predicts the reward of every action, trained as that of neural_epsilon_greedy."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Batch
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy, prediction_error
from banditloop.rl_core.agents.neural_model import SMALLEST_DEVIATION, served_arrays
from banditloop.rl_core.agents.reward_models.reward_model import RewardModel, importance_weighted
from banditloop.rl_core.agents.row_products import rows_times


class Network(NeuralEpsilonGreedy, RewardModel):
    """A network of ReLU layers that minimises the mean squared error of the predicted rewards by Adam."""

    name: Literal["network"] = "network"  # type: ignore[assignment]
    cb_type: Literal["dm", "mtr"] = Field(
        "dm", description="how logged propensities correct it: dm, not at all; mtr, importance-weighted regression"
    )

    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        corrected = batches if self.cb_type == "dm" else map(importance_weighted, batches)
        return super().update(statistics, corrected)

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether the other's network has the same shape, and its replay buffer the same kind of weights."""
        return super().can_resume_from(other) and other.get("cb_type") == self.cb_type

    def weights(self, statistics: Statistics) -> Statistics:
        return served_arrays(statistics)

    def shape(self, weights: Statistics) -> tuple[int, int]:
        return len(weights["mean"]), len(weights[f"bias_{self.hidden_layers}"])

    def scores(self, weights: Statistics, observations: Any, xp: Any = np) -> Any:
        x = (observations - weights["mean"]) / xp.maximum(weights["deviation"], SMALLEST_DEVIATION)
        for layer in range(self.hidden_layers):
            x = xp.maximum(rows_times(x, weights[f"kernel_{layer}"], xp) + weights[f"bias_{layer}"], 0.0)
        x = rows_times(x, weights[f"kernel_{self.hidden_layers}"], xp) + weights[f"bias_{self.hidden_layers}"]
        return x * weights["reward_scale"][1] + weights["reward_scale"][0]

    def mean_scores(self, statistics: Statistics) -> np.ndarray:
        """The mean over the contexts of the replay buffer, or the scores of the mean context if it is empty."""
        replayed = statistics["replay_observations"]
        observations = replayed if len(replayed) else statistics["mean"][None]
        weights = {name: array.astype(np.float64) for name, array in self.weights(statistics).items()}
        return self.scores(weights, observations.astype(np.float64)).mean(axis=0)

    def error(self, statistics: Statistics) -> float:
        """The error of predictions one step ahead, before training on the rewards."""
        return prediction_error(statistics)
