"""Neural-linear Thompson sampling: on the features that a network has learned.

Riquelme, Tucker, Snoek: Deep Bayesian Bandits Showdown, ICLR 2018. The network is that of neural_epsilon_greedy. The
units of its last hidden layer are the features of Bayesian linear regressions, one per action, as in linear_thompson.
They are solved anew after every training, over the interactions in the replay buffer: the network has changed, and
earlier sums would be of other features. Beyond `replay_size` interactions the posterior therefore gets no narrower.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Batch, Model
from banditloop.rl_core.agents.arrays import ACTION_FEATURES, WEIGHTS, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.linear_thompson_model import LinearThompsonModel
from banditloop.rl_core.agents.neural_epsilon_greedy import REPLAY, NeuralEpsilonGreedy
from banditloop.rl_core.agents.neural_model import NeuralModel, served_arrays
from banditloop.rl_core.errors import InvalidInput

LAST_LAYER = "regression_"  # prefix of the regressions' arrays in weights.npz


@dataclass(frozen=True)
class NeuralLinearModel(Model):
    """A network, and Bayesian linear regressions on the units of its last hidden layer."""

    network: NeuralModel
    regression: LinearThompsonModel

    @property
    def shape(self) -> tuple[int, int]:
        return self.network.shape

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        return self.regression.probabilities(self.network.last_hidden_layer(observations), eligible)

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return self.regression.expected_rewards(self.network.last_hidden_layer(observations))


class NeuralLinear(NeuralEpsilonGreedy):
    """Thompson sampling by Bayesian linear regressions on the last hidden layer of a network."""

    EXPLORATION: ClassVar[float] = 0.01

    name: Literal["neural_linear"] = "neural_linear"  # type: ignore[assignment]
    alpha: float = Field(
        0.5, gt=0, description="factor of the standard deviations: 1 is Thompson sampling; less explores less"
    )
    replay_size: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="size of the replay buffer, a uniform sample of all interactions; the regressions are fitted to it "
        "alone",
    )

    def model(self, statistics: Statistics) -> NeuralLinearModel:
        """The model of the statistics: one pass over the replay buffer."""
        network, linear = NeuralModel.of(statistics), LinearThompson(alpha=self.alpha, half_life="never")
        observations, actions, rewards, weights, _ = (statistics[name] for name in REPLAY)
        batch = Batch(network.last_hidden_layer(observations), actions, rewards, weights)
        sums = linear.update(linear.initial_statistics(self.hidden_units, len(statistics["counts"])), [batch])
        features = {name: array for name, array in statistics.items() if name == ACTION_FEATURES}
        return NeuralLinearModel(network, linear.solve(sums | features))

    def save(self, statistics: Statistics, folder: Path) -> None:
        regression = {LAST_LAYER + name: array for name, array in self.model(statistics).regression.arrays().items()}
        write_arrays(folder / WEIGHTS, served_arrays(statistics) | regression)

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        from banditloop.rl_core.agents.neural_saved_model import save_neural_linear  # imports TensorFlow

        save_neural_linear(folder, dim, actions, LAST_LAYER)

    def load(self, folder: Path) -> NeuralLinearModel:
        """The model of weights.npz. Does not import TensorFlow."""
        arrays = read_arrays(folder / WEIGHTS)
        regression = {
            name.removeprefix(LAST_LAYER): array for name, array in arrays.items() if name.startswith(LAST_LAYER)
        }
        try:
            model = NeuralLinearModel(NeuralModel.checked(folder / WEIGHTS, arrays), LinearThompsonModel(**regression))
            model.probabilities(np.zeros((1, model.shape[0]), np.float32))
        except (TypeError, ValueError):
            raise InvalidInput(f"{folder / WEIGHTS}: not the weights of a {self.name} policy") from None
        return model
