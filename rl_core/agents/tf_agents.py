"""TF-Agents' own bandit agents, trained on logged interactions, with the propensities corrected.

They learn as TF-Agents' code has them learn: its agents are built and trained, and their variables are the statistics.
They decide by tf_agents_policies.py, since the probabilities that some of TF-Agents' policies log are wrong. What is
served needs no TensorFlow. TF-Agents standardises neither observations nor rewards.

EXP3 is for on-policy training: TF-Agents credits an action with its own propensity besides its reward, so that from the
log of another policy it learns what that one preferred. Exp3MixtureAgent is not here: it learns from which of its
agents chose an action, which no log tells.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from banditloop.rl_core.agents.agent import Agent, Batch, learning_metrics
from banditloop.rl_core.agents.arrays import WEIGHTS, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.tf_agents_algorithms import AlgorithmSection
from banditloop.rl_core.agents.tf_agents_policies import MODELS, AlgorithmModel
from banditloop.rl_core.errors import InvalidInput

COUNTING = ("lin_ucb", "lin_ts", "neural_linucb", "exp3")  # an interaction trained on twice counts as two


class TFAgents(AlgorithmSection, Agent):
    """An agent of TF-Agents, by algorithm."""

    name: Literal["tf_agents"] = "tf_agents"
    batch_size: int = Field(64, ge=1, le=8192, description="interactions per training step, on a log")
    epochs: int = Field(
        1, ge=1, le=1000, description="passes over new interactions, on a log; only networks may have more than one"
    )

    @model_validator(mode="after")
    def _check_epochs(self) -> "TFAgents":
        if self.epochs > 1 and self.algorithm in COUNTING:
            raise ValueError(f"epochs = {self.epochs}: {self.algorithm} counts interactions; give 1")
        return self

    def __hash__(self) -> int:
        return hash(self.model_dump_json())  # a dict of hyperparameters has no hash

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        from banditloop.rl_core.agents.tf_agents_training import trainer  # imports TensorFlow

        sums = {"counts": np.zeros(actions, np.int64), "rewards": np.zeros(actions)}
        return dict(trainer(self, dim, actions).initial) | sums

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        """In networks and EXP3 untried actions start from the mean of the others, in linear agents from nothing."""
        from banditloop.rl_core.agents.tf_agents_training import grown

        return grown(self, statistics, actions)

    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        from banditloop.rl_core.agents.tf_agents_training import learned

        return learned(self, statistics, batches)

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether the other is the same algorithm with the same hyperparameters."""
        same = all(other.get(key) == getattr(self, key) for key in ("algorithm", "hyperparameters"))
        return super().can_resume_from(other) and same

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        return learning_metrics(statistics)

    def save(self, statistics: Statistics, folder: Path) -> None:
        from banditloop.rl_core.agents.tf_agents_arrays import served_arrays

        write_arrays(folder / WEIGHTS, served_arrays(self, statistics))

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        import tensorflow.experimental.numpy as tnp

        from banditloop.rl_core.agents.saved_model import save_policy

        def decide(arrays: Any, observations: Any) -> Any:
            model = self._model(arrays)
            return model.chances(observations, xp=tnp), model.expected(observations, xp=tnp)

        save_policy(folder, dim, actions, decide)

    def load(self, folder: Path) -> AlgorithmModel:
        """The model of weights.npz. Does not import TensorFlow."""
        model = self._model(read_arrays(folder / WEIGHTS))
        try:
            model.probabilities(np.zeros((1, model.shape[0])))
        except (KeyError, ValueError, IndexError):
            raise InvalidInput(
                f"{folder / WEIGHTS}: arrays are missing or differ in shape; not the weights of a policy"
            ) from None
        return model

    def _model(self, arrays: Statistics) -> AlgorithmModel:
        return MODELS[type(self.parsed)](self.parsed, arrays)
