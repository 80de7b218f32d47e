"""The base of agents whose values are linear in random features of the observation."""

import abc
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Model, learning_metrics
from banditloop.rl_core.agents.arrays import WEIGHTS, Statistics, write_arrays
from banditloop.rl_core.agents.linear_q_model import VALUES, LinearQModel, served_arrays
from banditloop.rl_core.agents.q_features import QFeatures
from banditloop.rl_core.agents.sequential_agent import (
    SequentialAgent,
    followed,
    initial_counts,
    transition_counts,
    tried_actions,
    with_untried,
)
from banditloop.rl_core.agents.transitions import Transitions, joined


class LinearQAgent(SequentialAgent):
    """An agent that learns weights of features, deterministic and cheap."""

    LEARNED: ClassVar[tuple[str, ...]] = (VALUES,)
    """Names of the arrays [features, actions] that it learns."""

    features: int = Field(
        150, ge=0, le=10_000, description="number of random features beside the observation itself; 0: linear values"
    )
    width: float = Field(
        1.5,
        gt=0,
        description="kernel width: distance within which observations get similar values, in units of a standardised "
        "observation's typical distance from the mean",
    )
    l2: float = Field(1.0, gt=0, description="ridge weight λ of the values, in transitions")
    seed: int = Field(0, ge=0, description="seed of the random features, and of all random draws in training")

    @abc.abstractmethod
    def fit(self, features: QFeatures, logged: Transitions, known: Transitions, actions: int) -> Statistics:
        """The learned arrays, and the number "error".

        known: the logged transitions after which it is known what follows, as `followed` returns them.
        """

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        features = self._features(np.zeros((1, dim)))
        size = 1 + dim + self.features
        learned = {name: np.zeros((size, actions)) for name in self.LEARNED}
        return features._asdict() | learned | {"error": np.zeros(())} | initial_counts(actions)

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        """The appended actions have the mean of the others."""
        return with_untried(statistics, actions, self.LEARNED, np.arange(actions) < len(statistics["counts"]))

    def update(self, statistics: Statistics, batches: Iterable[Transitions]) -> Statistics:  # type: ignore[override]
        nonempty = [batch for batch in batches if len(batch.actions)]
        if not nonempty:
            return statistics
        logged, actions = joined(nonempty), len(statistics["counts"])
        statistics = statistics | transition_counts(logged, actions)
        known, features = followed(logged, actions), self._features(logged.observations)
        statistics |= features._asdict() | self.fit(features, logged, known, actions)
        return with_untried(statistics, actions, (VALUES,), tried_actions(known, actions))

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        return learning_metrics(statistics) | {"error": float(statistics["error"])}

    def save(self, statistics: Statistics, folder: Path) -> None:
        write_arrays(folder / WEIGHTS, served_arrays(statistics))

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        from banditloop.rl_core.agents.linear_q_saved_model import save_linear_q  # imports TensorFlow

        save_linear_q(folder, dim, actions)

    def model(self, statistics: Statistics) -> Model:
        return LinearQModel.of(statistics)

    def load(self, folder: Path) -> Model:
        """The model of weights.npz. Does not import TensorFlow."""
        return LinearQModel.read(folder / WEIGHTS)

    def _features(self, observations: np.ndarray) -> QFeatures:
        return QFeatures.random(observations, self.features, self.width, self.seed)
