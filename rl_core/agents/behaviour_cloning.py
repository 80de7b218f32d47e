"""Behaviour cloning: imitates the logging policies, as a baseline for agents that learn from rewards.

A multinomial logistic regression of the actions on random features of the observation. Its values are those of the
imitated policy (LSTD-Q, `q_features`). Where those of all actions would have more than `MAX_UNKNOWNS` weights, every
action has the value of the observation (LSTD).
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.adam import Adam
from banditloop.rl_core.agents.agent import one_hot
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import softmax
from banditloop.rl_core.agents.linear_q_agent import LinearQAgent
from banditloop.rl_core.agents.linear_q_model import PREFERENCES, VALUES
from banditloop.rl_core.agents.q_features import MAX_UNKNOWNS, QEquations, QFeatures
from banditloop.rl_core.agents.transitions import Transitions

BATCH = 4_096  # decisions of a gradient step, if there are more


class BehaviourCloning(LinearQAgent):
    """Draws actions with the frequencies that they have in the log for similar observations."""

    LEARNED: ClassVar[tuple[str, ...]] = (VALUES, PREFERENCES)

    name: Literal["behaviour_cloning"] = "behaviour_cloning"
    features: int = Field(
        30, ge=0, le=10_000, description="number of random features beside the observation itself; 0: none"
    )
    gradient_steps: int = Field(
        300, ge=1, le=1_000_000, description="number of steps of Adam, each on all decisions or some thousands of them"
    )
    learning_rate: float = Field(0.05, gt=0, le=1, description="learning rate of Adam")

    def fit(self, features: QFeatures, logged: Transitions, known: Transitions, actions: int) -> Statistics:
        preferences, loss = self._imitated(features(logged.observations), logged, actions)
        x, next_x = features(known.observations), features(known.next_observations)
        if preferences.size <= MAX_UNKNOWNS:
            of, following = known.actions, softmax(next_x @ preferences, 1.0, known.next_eligible)
        else:  # all actions as one
            of, following = np.zeros_like(known.actions), np.ones((len(x), 1))
        discounted = following * known.discounts[:, None]
        weights = QEquations.of(x, of, known.rewards, next_x, discounted, known.sample_weight).solve(self.l2)
        values = np.broadcast_to(weights.T, preferences.shape)
        return {PREFERENCES: preferences, VALUES: values, "error": np.array(loss)}

    def _imitated(self, x: np.ndarray, logged: Transitions, actions: int) -> tuple[np.ndarray, float]:
        """The preferences [features, actions], and the mean of -log p of the actions taken."""
        weights = np.ones(len(x)) if logged.sample_weight is None else logged.sample_weight
        weights, taken = weights / weights.mean(), one_hot(logged.actions, actions)
        preferences = np.zeros((x.shape[1], actions))
        adam = Adam(preferences.reshape(-1), self.learning_rate)
        random, rows, eligible = np.random.default_rng(self.seed), np.arange(len(x)), logged.eligible
        for _ in range(self.gradient_steps):
            if len(x) > BATCH:
                rows = random.integers(len(x), size=BATCH)
            errors = softmax(x[rows] @ preferences, 1.0, None if eligible is None else eligible[rows]) - taken[rows]
            adam.step((x[rows].T @ (weights[rows, None] * errors)).ravel() / len(rows))
        likelihoods = softmax(x @ preferences, 1.0, logged.eligible)[np.arange(len(x)), logged.actions]
        return preferences, float(-np.mean(weights * np.log(np.maximum(likelihoods, np.finfo(float).tiny))))
