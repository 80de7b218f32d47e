"""The wheel bandit of Riquelme, Tucker and Snoek 2018, "Deep Bayesian Bandits Showdown", section 5.4."""

from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.noise import normals
from banditloop.rl_core.environments.synthetic import Synthetic, vector_task
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.task import Task

ACTIONS = 5


class Wheel(Synthetic):
    """Points in the unit disk, and five actions: one that is safe everywhere, and one that is best at each rim quarter.

    Within the radius `delta` action 0 is best by a little. Beyond it, the action of the quarter earns far more: 1 where
    both coordinates are positive, then 2 (+, -), 3 (-, +) and 4 (-, -). The larger `delta`, the more exploration it
    takes to find out. No linear policy is optimal.
    """

    name: Literal["wheel"] = "wheel"
    delta: float = Field(0.5, gt=0, lt=1, description="radius within which action 0 is best")
    mean_safe: float = Field(1.2, ge=0, le=100, description="mean reward of action 0")
    mean_other: float = Field(1.0, ge=0, le=100, description="mean reward of the other actions where they are not best")
    mean_best: float = Field(50.0, ge=0, le=100, description="mean reward of a quarter's action beyond delta")
    noise: float = Field(0.01, ge=0, description="standard deviation of a reward's noise")

    @property
    def task(self) -> Task:
        return vector_task(2, ACTIONS, 0.0, max(self.mean_safe, self.mean_other, self.mean_best, 1.0))

    def draw_contexts(self, random: np.random.Generator) -> np.ndarray:
        angles, radii = random.uniform(0, 2 * np.pi, self.contexts), np.sqrt(random.uniform(size=self.contexts))
        return np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])

    def mean_rewards(self, observations: np.ndarray) -> np.ndarray:
        means = np.full((len(observations), ACTIONS), self.mean_other)
        means[:, 0] = self.mean_safe
        rim = np.linalg.norm(observations, axis=1) > self.delta
        quarter = 1 + 2 * (observations[:, 0] < 0) + (observations[:, 1] < 0)
        means[rim, quarter[rim]] = self.mean_best
        return means

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        return self.means(contexts, actions) + self.noise * normals(event_ids)
