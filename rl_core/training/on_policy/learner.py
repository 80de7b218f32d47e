"""What learns on-policy: an agent of this package, or one of TF-Agents by its drivers."""

from typing import Protocol

import numpy as np

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.agents.tf_agents_algorithms import AlgorithmSection
from banditloop.rl_core.config import Config
from banditloop.rl_core.training.on_policy.simulation import Simulation

Feedback = tuple[np.ndarray, np.ndarray | None]  # rewards and regrets [B] of a loop, in the order of its interactions


class Learner(Protocol):
    """An agent in its environment."""

    def run(self, loop: int) -> Feedback:
        """Take the steps of a loop, learn from them, and return what they earned.

        All randomness follows from the seed and the number of the loop.
        """

    def begin(self, loop: int) -> None:
        """Prepare for the loops from this number on: called at the start, and after every checkpoint."""

    @property
    def statistics(self) -> Statistics:
        """What was learned, from which training resumes and a policy is written."""

    def restore(self, statistics: Statistics, loop: int) -> None:
        """Go on from the statistics of a checkpoint, after `loop` loops."""


def make_learner(config: Config, simulation: Simulation) -> Learner:
    """The learner of the config's agent."""
    if isinstance(config.agent, AlgorithmSection):
        from banditloop.rl_core.training.on_policy.drivers import DriverLearner  # imports TensorFlow

        return DriverLearner(config, config.agent, simulation)
    from banditloop.rl_core.training.on_policy.vectorised import VectorisedLearner

    return VectorisedLearner(config, simulation)
