"""The tasks of the learning benchmark: an environment, how many interactions, and the mean regret to stay below."""

import importlib.util
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from banditloop.rl_core.environments import Environment
from banditloop.rl_core.environments.classification import Classification
from banditloop.rl_core.environments.drifting import TIME, Drifting
from banditloop.rl_core.environments.environment import known_rewards
from banditloop.rl_core.environments.movielens import MovieLens
from banditloop.rl_core.environments.sparse_clicks import SparseClicks
from banditloop.rl_core.environments.synthetic import OBSERVATION
from banditloop.rl_core.environments.wheel import Wheel
from banditloop.rl_core.events.contexts import Contexts, take


@dataclass(frozen=True)
class LearningTask:
    """A task: the environment of a seed, the number of interactions, and the regret an interaction to stay below."""

    name: str
    environment: Callable[[int], Environment]
    interactions: int
    target: float
    package: str | None = None  # whose wheel has the data, where it is not in the lock


TASKS = [
    LearningTask("MovieLens, 20 movies", lambda seed: MovieLens(), 20_000, 0.11),
    LearningTask("MovieLens, 200 movies", lambda seed: MovieLens(movies=200), 50_000, 0.20),
    LearningTask("MovieLens, 1,682 movies", lambda seed: all_movies(), 50_000, 0.8),
    LearningTask("held-out ratings, 200", lambda s: MovieLens(setting="held_out", movies=200, seed=s), 20_000, 1.42),
    LearningTask("digits", lambda seed: Classification(), 5_000, 0.15),
    LearningTask("image segments", lambda seed: image_segments(), 5_000, 0.14, "river"),
    LearningTask("abrupt drift", lambda seed: Drifting(period=10_000, seed=seed), 20_000, 0.065),
    LearningTask("sparse clicks", lambda seed: SparseClicks(actions=50, seed=seed), 50_000, 0.067),
    LearningTask("wheel", lambda seed: Wheel(delta=0.95, seed=seed), 5_000, 1.29),
]


class Users:
    """Contexts drawn from an environment, one after the other, with the mean reward of every action in them."""

    def __init__(self, environment: Environment, random: np.random.Generator) -> None:
        self._environment, self._random = environment, random
        self._population = environment.population()
        self._rewards = known_rewards(environment) if self._population is not None else np.zeros(0)

    def draw(self, count: int) -> tuple[Contexts, np.ndarray]:
        """Contexts, and mean rewards [count, actions]."""
        if self._population is not None:
            rows = self._random.integers(len(self._rewards), size=count)
            return take(self._population, rows), self._rewards[rows]
        assert isinstance(self._environment, Drifting)
        contexts = self._environment.observe(count, self._random)
        times, vectors = np.asarray(contexts[TIME]), np.asarray(contexts[OBSERVATION], np.float64)
        means = np.empty((count, self._environment.actions))
        for draw in np.unique(times // self._environment.period):
            rows = times // self._environment.period == draw
            means[rows] = vectors[rows] @ self._environment.weights(int(draw) * self._environment.period).T
        return contexts, means


def all_movies() -> Environment:
    """All movies with their genres and years: more than a request may list, so that no config allows it."""
    return MovieLens(movies=1682).model_copy(update={"genres": True})


@cache
def image_segments() -> Environment:
    """ImageSegments of the UCI repository, from river's wheel, which is never imported."""
    spec = importlib.util.find_spec("river")
    assert spec and spec.origin, "pip install --no-deps river, whose wheel has the image segments"
    with zipfile.ZipFile(Path(spec.origin).parent / "datasets" / "segment.csv.zip") as archive:
        table = Path(tempfile.mkdtemp(prefix="segments-")) / "segment.csv"
        table.write_bytes(archive.read(archive.namelist()[0]))
        return Classification(dataset=str(table), label="category")
