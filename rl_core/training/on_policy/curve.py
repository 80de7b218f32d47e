"""The learning curve of on-policy training: what every loop earned, and how learning went."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

TAGS = {"average_length": "Metrics/AverageEpisodeLength", "entropy": "Metrics/Entropy"}  # of TensorBoard


class Loop(NamedTuple):
    """A training loop: the numbers of interactions and of episodes up to its end, and means over its own.

    regret: expected reward of the best action minus that of the action taken; None where the environment does not know
    them. average_return: reward per episode, without discount. measures: of episodes with several steps, by name:
    average_length in steps, entropy of the decisions in nats, and what the agent measured, such as policy_loss. Single
    decisions are episodes of one step, and have no measures.
    """

    interactions: int
    regret: float | None
    average_return: float
    episodes: int
    measures: Mapping[str, float] = {}

    @classmethod
    def of(cls, rewards: np.ndarray, regrets: np.ndarray | None) -> "Loop":
        """The loop of single decisions with these rewards and regrets [B], on its own."""
        regret = None if regrets is None else float(regrets.mean())
        return cls(len(rewards), regret, float(rewards.mean()), len(rewards))

    def row(self) -> dict[str, Any]:
        """Its numbers by name, plain: what pages and files show."""
        row = {"interactions": self.interactions, "regret": self.regret, "average_return": self.average_return}
        return row | ({"episodes": self.episodes} | dict(self.measures) if self.measures else {})

    def scalars(self) -> dict[str, float]:
        """Its numbers for TensorBoard, under the names of TF-Agents' metrics."""
        regret = {} if self.regret is None else {"Metrics/RegretMetric": self.regret}
        measures = {TAGS.get(name, f"Losses/{name}"): value for name, value in self.measures.items()}
        metrics = {"Metrics/AverageReturn": self.average_return, "Metrics/NumberOfEpisodes": self.episodes}
        return metrics | regret | measures


@dataclass
class Curve:
    """The loops so far, in order."""

    loops: list[Loop] = field(default_factory=list)

    def add(self, loop: Loop) -> None:
        """Append a loop, whose numbers of interactions and episodes are its own."""
        episodes = self.loops[-1].episodes if self.loops else 0
        counted = loop._replace(interactions=self.interactions + loop.interactions, episodes=episodes + loop.episodes)
        self.loops.append(counted)

    @property
    def interactions(self) -> int:
        """The number of interactions in all loops."""
        return self.loops[-1].interactions if self.loops else 0

    @property
    def final_average_return(self) -> float:
        """The mean reward of the last loop's episodes, the metric of Google's hyperparameter tuning."""
        return self.loops[-1].average_return

    @property
    def average_return(self) -> float:
        """The mean reward of all episodes."""
        counts = np.diff([0, *(loop.episodes for loop in self.loops)])
        return float(np.average([loop.average_return for loop in self.loops], weights=counts))

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
            **({"episodes": final.episodes} | dict(final.measures) if final.measures else {}),
        }
