"""On-policy training of this package's agents: all decisions of a loop at once."""

import numpy as np

from banditloop.rl_core.agents import Batch, Statistics
from banditloop.rl_core.config import Config
from banditloop.rl_core.training.on_policy.curve import Loop
from banditloop.rl_core.training.on_policy.simulation import Simulation
from banditloop.rl_core.training.train import with_action_features


class VectorisedLearner:
    """An agent whose model decides by its exact probabilities, and which learns from each loop's interactions."""

    goes_on_anywhere = True

    def __init__(self, config: Config, simulation: Simulation) -> None:
        self._agent, self._settings, self._simulation = config.agent, config.on_policy, simulation
        self._statistics = config.agent.initial_statistics(*simulation.shape)

    @property
    def statistics(self) -> Statistics:
        """The agent's own."""
        return self._statistics

    def begin(self, loop: int) -> None:
        """Nothing to prepare: every loop has random numbers of its own."""

    def run(self, loop: int) -> Loop:
        """Decide with one model, then train."""
        count, random = self._settings.interactions_per_loop, np.random.default_rng([self._settings.seed, loop])
        visits = self._simulation.visits(count, random)
        probabilities = self._probabilities(visits.observations, visits.eligible)
        actions = drawn(probabilities, random)
        rewards, regrets = self._simulation.feedback(visits, actions, loop * count)
        propensities, ids = probabilities[np.arange(count), actions], np.arange(loop * count, (loop + 1) * count)
        batch = Batch(visits.observations, actions, rewards, None, propensities, ids.astype(np.uint64), visits.eligible)
        self._statistics = self._agent.update(self._statistics, [batch])
        return Loop.of(rewards, regrets)

    def restore(self, statistics: Statistics, loop: int) -> None:
        """Restore the statistics, and advance the environment by the contexts of these loops."""
        self._statistics = statistics
        for _ in range(loop):
            self._simulation.skip(self._settings.interactions_per_loop)

    def _probabilities(self, observations: np.ndarray, eligible: np.ndarray | None) -> np.ndarray:
        model = self._agent.model(with_action_features(self._statistics, self._simulation.encoding))
        return explored(model.probabilities(observations, eligible), self._settings.exploration, eligible)


def explored(learned: np.ndarray, fraction: float, eligible: np.ndarray | None) -> np.ndarray:
    """Probabilities [B, actions] where a fraction of the decisions is drawn uniformly among the eligible actions.

    eligible: bool [B, actions]; None: all.
    """
    if not fraction:
        return learned
    uniform = np.ones_like(learned) if eligible is None else eligible.astype(float)
    return (1 - fraction) * learned + fraction * uniform / uniform.sum(axis=1, keepdims=True)


def drawn(probabilities: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Actions [B] drawn from their probabilities [B, actions], by inverse-CDF sampling."""
    cumulative = probabilities.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]  # exactly 1 from the last possible action on, despite rounding errors
    return (cumulative <= random.random(len(probabilities))[:, None]).argmin(axis=1)
