"""MovieLens-100K as a contextual bandit: an action recommends one of the first movies to a user."""

from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from banditloop.rl_core.environments.environment import Environment, draw
from banditloop.rl_core.environments.movielens_files import MOVIES
from banditloop.rl_core.environments.movielens_users import Users, classic, held_out
from banditloop.rl_core.environments.movies import load_movies
from banditloop.rl_core.environments.noise import normals
from banditloop.rl_core.environments.ratings import DOWNLOAD, load_ratings
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.section import Line, RelativePath
from banditloop.rl_core.settings.task import MAX_CANDIDATES, Task

OBSERVATION = "observation"
USER_FEATURES = 4  # held_out: constant, age, gender and activity, before the factors


class MovieLens(Environment):
    """MovieLens-100K in one of two settings.

    classic: the setting of TF-Agents' MovieLensPyEnvironment. The ratings of the first `movies` movies, 0 where
    unrated, are approximated to `rank` by SVD. The observation is the user's factor, and the reward is the approximated
    rating, a noise-free linear function of the observation.

    held_out: rewards come from ratings held out from the observations. Each user's ratings are split into two random
    halves. The observation is computed from the first half (projected on movie factors fitted to first halves), age,
    gender and activity. The mean reward is a rank-`rank` approximation of the second half, and the reward adds Gaussian
    noise. A fraction `cold_start_fraction` of the users is excluded from fitting the movie factors.
    """

    name: Literal["movielens"] = "movielens"
    setting: Literal["classic", "held_out"] = Field(
        "classic",
        description="classic: the setting of TF-Agents; held_out: rewards from ratings outside the observations",
    )
    rank: int = Field(20, ge=1, le=200, description="rank of the approximation of the ratings")
    movies: int = Field(20, ge=2, le=MOVIES, description="number of movies to choose from, the actions")
    available: int = Field(
        0, ge=0, le=MAX_CANDIDATES, description="number of movies, drawn at random, that a visit chooses from; 0: all"
    )
    genres: bool = Field(False, description="give genres and year of every movie as features of the actions")
    noise: float = Field(0.5, ge=0, description="held_out: standard deviation of a reward's noise, in rating points")
    cold_start_fraction: float = Field(
        0.2, ge=0, lt=1, description="held_out: fraction of users excluded from fitting the movie factors"
    )
    seed: int = Field(0, ge=0, description="held_out: seed of the random splits of ratings and users")
    ratings: Annotated[Line | None, RelativePath(DOWNLOAD)] = Field(
        None, description="source of the ratings: a path, a gs:// URI or 'download'; none: the installed package"
    )

    @model_validator(mode="after")
    def _check_candidates(self) -> Self:
        if self.available == 1 or self.available > self.movies:
            raise ValueError(f"available = {self.available}: give 2 to {self.movies}, the number of movies, or 0")
        if self.genres and not self.available and self.movies > MAX_CANDIDATES:
            raise ValueError(
                f"movies = {self.movies}: a request can list {MAX_CANDIDATES} movies with their genres; set available"
            )
        return self

    @property
    def task(self) -> Task:
        dim = min(self.rank, self.movies) if self.setting == "classic" else USER_FEATURES + self.rank
        return Task.parse(
            {
                "actions": self.movies,
                "reward_range": [0.0, 5.0],
                "context": {OBSERVATION: {"vector": dim}},
                "action_features": {"genres": "categories", "year": "number"} if self.genres else {},
            },
            "task",
        )

    def observe(self, batch: int, random: np.random.Generator) -> Contexts:
        return draw({OBSERVATION: self._users.observations}, batch, random)

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        means = self._users.rewards[self._rows(contexts), actions]
        return means if self.setting == "classic" else means + self.noise * normals(event_ids)

    def candidates(self, contexts: Contexts, random: np.random.Generator) -> list[list[str]] | None:
        if not self.available:
            return None
        order = random.random((len(contexts[OBSERVATION]), self.movies)).argsort(axis=1)
        return [list(map(str, row)) for row in np.sort(order[:, : self.available], axis=1).tolist()]

    def action_features(self) -> list[dict[str, Any]] | None:
        return self._movies if self.genres else None

    def population(self) -> Contexts:
        return {OBSERVATION: self._users.observations}

    def expected_rewards(self) -> np.ndarray | None:
        return None if self.available else self._users.rewards

    def unseen_users(self) -> np.ndarray:
        """held_out: whether a user was excluded from fitting the movie factors, bool [users]."""
        return self._users.unseen

    @cached_property
    def _users(self) -> Users:
        ratings = load_ratings(self.ratings)
        if self.setting == "classic":
            return classic(ratings, self.rank, self.movies)
        return held_out(ratings, self.rank, self.movies, self.cold_start_fraction, self.seed)

    @cached_property
    def _movies(self) -> list[dict[str, Any]]:
        return load_movies(self.ratings)[: self.movies]

    @cached_property
    def _index(self) -> dict[bytes, int]:
        return {row.tobytes(): user for user, row in enumerate(self._users.observations)}

    def _rows(self, contexts: Contexts) -> list[int]:
        """The users of contexts."""
        try:
            return [self._index[row.tobytes()] for row in np.asarray(contexts[OBSERVATION], np.float32)]
        except KeyError:
            raise InvalidInput(f"{OBSERVATION}: not one of a user of this environment; its reward is unknown") from None
