"""A small sequential problem, and an agent that knows its answer as well as its config says."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from banditloop.rl_core.agents import STATISTICS, Model, SequentialAgent, Statistics, Transitions, read_arrays
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import Episodes, EpisodicEnvironment, Steps
from banditloop.rl_core.environments.noise import hashes, step_uniforms
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.policies import START
from banditloop.rl_core.training.lineage import next_manifest, random_manifest

PAYS = 0.8  # probability with which the right action pays 1
RIGHT = 1  # position of right_is_on in observations, after the constant


class Lights(EpisodicEnvironment):
    """In each step one of two lights is on, and its action is right; after a right one, both are brighter."""

    name: str = "tests.support.lights:Lights"
    max_steps: int = Field(3, ge=1, le=100, description="steps of an episode")

    @property
    def task(self) -> Task:
        return Task.parse(
            {
                "actions": ["left", "right"],
                "reward_range": [0.0, 1.0],
                "context": {"right_is_on": "boolean", "brightness": "number"},
            }
        )

    def reset(self, seeds: np.ndarray) -> Episodes:
        return _Lights(seeds, self.max_steps)


class _Lights(Episodes):
    def __init__(self, seeds: np.ndarray, steps: int) -> None:
        self._seeds, self._steps, self._taken, self._brightness = seeds, steps, 0, np.zeros(len(seeds))

    @property
    def contexts(self) -> Contexts:
        is_on = hashes(self._seeds, 2 * self._taken) % np.uint64(2) == 1
        return {"right_is_on": is_on, "brightness": self._brightness}

    def step(self, actions: np.ndarray) -> Steps:
        right = (actions == "right") == self.contexts["right_is_on"]
        paid = step_uniforms(self._seeds, 2 * self._taken + 1) < PAYS
        self._taken += 1
        over, runs = self._taken >= self._steps, self._taken <= self._steps
        self._brightness = self._brightness + right
        return Steps((right & paid & runs) * 1.0, np.full(len(right), over), np.zeros(len(right), bool))


class Follower(SequentialAgent):
    """An agent that learns nothing: it takes the right action with a known probability."""

    name: str = "tests.support.lights:Follower"
    skill: float = Field(0.9, ge=0, le=1, description="probability of the right action")

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        return {"shape": np.array([dim, actions]), "rows": np.zeros(1, int)}

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        return statistics | {"shape": np.array([statistics["shape"][0], actions])}

    def update(self, statistics: Statistics, batches: Iterable[Transitions]) -> Statistics:  # type: ignore[override]
        return statistics | {"rows": np.array([sum(len(batch.rewards) for batch in batches)])}

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        return {"interactions": int(statistics["rows"][0])}

    def save(self, statistics: Statistics, folder: Path) -> None:
        """Everything is in the statistics."""

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        raise NotImplementedError

    def load(self, folder: Path) -> Model:
        dim, actions = read_arrays(folder / STATISTICS)["shape"].tolist()
        return _FollowerModel(self.skill, dim, actions)


class _FollowerModel(Model):
    def __init__(self, skill: float, dim: int, actions: int) -> None:
        self._skill, self._shape = skill, (dim, actions)

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        right = np.where(observations[:, RIGHT] > 0, self._skill, 1 - self._skill)
        return np.column_stack([1 - right, right])

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return PAYS * (np.column_stack([observations[:, RIGHT] <= 0, observations[:, RIGHT] > 0]) * 1.0)


def lights_config(root: Path, max_steps: int = 3, **sections: Any) -> Config:
    """A loop of the lights, in which a follower learns."""
    values: dict[str, Any] = {
        "environment": {"name": Lights().name, "max_steps": max_steps},
        "agent": {"name": Follower().name},
        "backend": {"root": str(root / "loop")},
        "policy": {"exploration": 0.1, "saved_model": False},
        "episodes": {"max_steps": max_steps, "discount": 0.9},
        "gate": {"holdout_fraction": 0.5},
    }
    return Config.parse(values | {name: values.get(name, {}) | section for name, section in sections.items()})


def write_follower(config: Config, folder: Path, skill: float, generation: int = 1) -> SavedPolicy:
    """The policy of a follower with this skill, which has seen nothing of the log, in a folder of its own."""
    config = config.model_copy(update={"agent": Follower(skill=skill)})
    encoding, first = Encoding.unfitted(config.task), random_manifest(config)
    window = Window(until=START, interactions=0)
    manifest = next_manifest(config, window, first, encoding, generation, "").model_copy(update={"parent": None})
    write_policy(folder, manifest, config.agent.initial_statistics(manifest.dim, 2), encoding)
    return SavedPolicy.load(folder)


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The table with other values in a column."""
    field = table.schema.field(name)
    return table.set_column(table.column_names.index(name), field, pa.array(values, field.type))
