"""A pole on a cart, to be kept upright by pushing the cart: Barto, Sutton and Anderson 1983, as in Gymnasium."""

from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.episodic import MAX_STEPS, Episodes, EpisodicEnvironment, Steps
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.task import Task

FEATURES = ("position", "velocity", "angle", "angular_velocity")
GRAVITY, FORCE, SECONDS_PER_STEP = 9.8, 10.0, 0.02
POLE_MASS, HALF_POLE = 0.1, 0.5  # in kilograms and metres
TOTAL_MASS = POLE_MASS + 1.0  # with the cart's
MAX_POSITION, MAX_ANGLE = 2.4, 12 * 2 * np.pi / 360
START = 0.05  # the largest value of each number at the start


class CartPole(EpisodicEnvironment):
    """Gymnasium's CartPole-v1, many at a time, to the last digit: with the same seeds and actions, the same episodes.

    Every step earns 1. An episode ends when the cart leaves ±2.4 m or the pole ±12°, and is cut off after `max_steps`.
    Actions: 0 pushes to the left, 1 to the right. A seed is one of Gymnasium's `reset`.
    """

    name: Literal["cartpole"] = "cartpole"
    max_steps: int = Field(200, ge=1, le=MAX_STEPS, description="steps after which an episode is cut off")

    @property
    def task(self) -> Task:
        return Task.parse({"actions": 2, "reward_range": [0.0, 1.0], "context": dict.fromkeys(FEATURES, "number")})

    def reset(self, seeds: np.ndarray) -> Episodes:
        starts = [np.random.default_rng(seed).uniform(-START, START, 4) for seed in seeds.tolist()]
        return CartPoleEpisodes(np.reshape(starts, (len(seeds), 4)), self.max_steps)


class CartPoleEpisodes(Episodes):
    """Episodes that start in states [B, 4], whose columns are the features."""

    def __init__(self, states: np.ndarray, max_steps: int) -> None:
        self._states, self._max_steps, self._step = np.array(states, np.float64), max_steps, 0
        self._over = np.zeros(len(states), bool)

    @property
    def contexts(self) -> Contexts:
        """Rounded to 32 bits, as Gymnasium's observations are."""
        return dict(zip(FEATURES, self._states.astype(np.float32).astype(np.float64).T, strict=True))

    def step(self, actions: np.ndarray) -> Steps:
        running, before = ~self._over, self._states
        self._states = np.where(running[:, None], _next_states(before, np.asarray(actions) == 1), before)
        self._step += 1
        position, angle = np.abs(self._states[:, 0]), np.abs(self._states[:, 2])
        terminal = running & ((position > MAX_POSITION) | (angle > MAX_ANGLE))
        truncated = running & ~terminal & (self._step >= self._max_steps)
        self._over |= terminal | truncated
        return Steps(running.astype(np.float64), terminal, truncated)


def _next_states(states: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The states [B, 4] a step later, by Euler's method, in the order of operations of Gymnasium's."""
    _, velocity, angle, angular_velocity = states.T
    sine, cosine = np.sin(angle), np.cos(angle)
    pole_moment = POLE_MASS * HALF_POLE
    push = (np.where(right, FORCE, -FORCE) + pole_moment * np.square(angular_velocity) * sine) / TOTAL_MASS
    inertia = HALF_POLE * (4.0 / 3.0 - POLE_MASS * np.square(cosine) / TOTAL_MASS)
    angular_acceleration = (GRAVITY * sine - cosine * push) / inertia
    acceleration = push - pole_moment * angular_acceleration * cosine / TOTAL_MASS
    changes = np.stack([velocity, acceleration, angular_velocity, angular_acceleration], axis=1)
    return np.asarray(states + SECONDS_PER_STEP * changes)
