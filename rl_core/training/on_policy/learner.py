"""Learners for on-policy training: of this package's agents, on decisions or episodes, and of TF-Agents' agents."""

from typing import Protocol

from banditloop.rl_core.agents import OnlineAgent, Statistics
from banditloop.rl_core.agents.tf_agents_algorithms import AlgorithmSection
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.rollouts import IN_PROCESS, Engine
from banditloop.rl_core.training.on_policy.curve import Loop
from banditloop.rl_core.training.on_policy.episodic import EpisodicLearner
from banditloop.rl_core.training.on_policy.episodic_simulation import EpisodicSimulation
from banditloop.rl_core.training.on_policy.simulation import Simulation
from banditloop.rl_core.training.on_policy.vectorised import VectorisedLearner


class Learner(Protocol):
    """An agent in its environment.

    goes_on_anywhere: whether it goes on after any loop as if never interrupted, or only where `begin` was called.
    """

    goes_on_anywhere: bool

    def run(self, loop: int) -> Loop:
        """Take the steps of a loop, learn from them, and return what they earned: the loop on its own.

        All randomness follows from the seed and the number of the loop.
        """

    def begin(self, loop: int) -> None:
        """Prepare for the loops from this number on: called at the start, and every `checkpoint_loops`."""

    @property
    def statistics(self) -> Statistics:
        """The learned statistics: training resumes from them, and a policy is written from them."""

    def restore(self, statistics: Statistics, loop: int) -> None:
        """Go on from the statistics of a checkpoint, after `loop` loops."""


def make_simulation(config: Config, engine: Engine = IN_PROCESS) -> Simulation | EpisodicSimulation:
    """The config's environment: of single decisions, or of episodes. InvalidInput: there is none to train in.

    engine: where episodes are played.
    """
    return EpisodicSimulation(config, engine) if config.episodes else Simulation(config)


def make_learner(config: Config, simulation: Simulation | EpisodicSimulation) -> Learner:
    """The learner of the config's agent. InvalidInput: it learns from logs only."""
    if isinstance(simulation, EpisodicSimulation):
        if not isinstance(config.agent, OnlineAgent):
            raise InvalidInput(
                f"agent.name = {config.agent.name!r}: learns from a log of episodes; on-policy training needs one that "
                "learns while it plays, as 'ppo'"
            )
        return EpisodicLearner(config, config.agent, simulation)
    if isinstance(config.agent, AlgorithmSection):
        from banditloop.rl_core.training.on_policy.drivers import DriverLearner  # imports TensorFlow

        return DriverLearner(config, config.agent, simulation)
    return VectorisedLearner(config, simulation)
