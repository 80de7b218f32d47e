"""The learning curve of on-policy training: regret and return of every loop."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Loop(NamedTuple):
    """A training loop: the number of interactions, which are episodes of one step, up to its end; means over its own.

    regret: expected reward of the best action minus that of the action taken; None where the environment does not know
    them. average_return: reward per episode.
    """

    interactions: int
    regret: float | None
    average_return: float

    @classmethod
    def of(cls, before: int, rewards: np.ndarray, regrets: np.ndarray | None) -> "Loop":
        """The loop with these rewards and regrets [B], after `before` interactions."""
        regret = None if regrets is None else float(regrets.mean())
        return cls(before + len(rewards), regret, float(rewards.mean()))

    def scalars(self) -> dict[str, float]:
        """What TensorBoard shows of it, under the names of TF-Agents' metrics."""
        known = {} if self.regret is None else {"Metrics/RegretMetric": self.regret}
        return {"Metrics/AverageReturn": self.average_return, "Metrics/NumberOfEpisodes": self.interactions} | known


@dataclass
class Curve:
    """The loops so far, in order."""

    loops: list[Loop] = field(default_factory=list)

    @property
    def interactions(self) -> int:
        """The number of interactions, which are episodes, in all loops."""
        return self.loops[-1].interactions if self.loops else 0

    @property
    def final_average_return(self) -> float:
        """The mean reward of the last loop, the metric of Google's hyperparameter tuning."""
        return self.loops[-1].average_return

    @property
    def average_return(self) -> float:
        """The mean reward of all interactions; loops are equally long."""
        return float(np.mean([loop.average_return for loop in self.loops]))

    @property
    def average_regret(self) -> float | None:
        """The mean regret of all interactions; None where it is unknown."""
        regrets = [loop.regret for loop in self.loops if loop.regret is not None]
        return float(np.mean(regrets)) if regrets else None

    def scalars(self) -> dict[str, list[tuple[int, float]]]:
        """Series of numbers of interactions and values, by the tags of TensorBoard."""
        shown = [(loop.interactions, loop.scalars()) for loop in self.loops]
        return {tag: [(step, values[tag]) for step, values in shown] for tag in shown[0][1]}

    def summary(self) -> dict[str, Any]:
        """The numbers of the whole training, plain."""
        final = self.loops[-1]
        cumulative = None if self.average_regret is None else self.average_regret * self.interactions
        return {
            "training_loops": len(self.loops),
            "interactions": self.interactions,
            "average_return": self.average_return,
            "final_average_return": self.final_average_return,
            "average_regret": self.average_regret,
            "final_regret": final.regret,
            "cumulative_regret": cumulative,
        }
