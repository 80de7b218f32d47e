"""MovieLens-100K as a contextual bandit: an action recommends one of the first movies to a user."""

import zlib
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.environment import Environment
from banditloop.rl_core.environments.ratings import MOVIES, Ratings, load_ratings
from banditloop.rl_core.environments.reward_range import RewardRange
from banditloop.rl_core.errors import InvalidInput


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
    noise: float = Field(0.5, ge=0, description="held_out: standard deviation of a reward's noise, in rating points")
    cold_start_fraction: float = Field(
        0.2, ge=0, lt=1, description="held_out: fraction of users excluded from fitting the movie factors"
    )
    seed: int = Field(0, ge=0, description="held_out: seed of the random splits of ratings and users")
    ratings: str | None = Field(
        None, description="source of the ratings: a path, a gs:// URI or 'download'; none: the installed package"
    )

    @property
    def dim(self) -> int:
        return self._population[0].shape[1]

    @property
    def actions(self) -> int:
        return self.movies

    @property
    def reward_range(self) -> RewardRange:
        return RewardRange(0.0, 5.0)

    def population(self) -> np.ndarray:
        return self._population[0]

    def expected_rewards(self) -> np.ndarray:
        return self._population[1]

    def unseen_users(self) -> np.ndarray:
        """held_out: whether a user was excluded from fitting the movie factors, bool [users]."""
        return self._population[2]

    def reward(self, observations: np.ndarray, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        means = self.expected_rewards()[self._users(observations), actions]
        if self.setting == "classic":
            return means
        noise = [np.random.default_rng(zlib.crc32(event_id.encode())).normal() for event_id in event_ids]
        return means + self.noise * np.array(noise)

    @cached_property
    def _population(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Observations [users, dim], mean rewards [users, movies], and whether users are unseen [users]."""
        ratings = load_ratings(self.ratings)
        observations, rewards, unseen = self._classic(ratings) if self.setting == "classic" else self._held_out(ratings)
        observations = observations.astype(np.float32)
        distinct, groups = np.unique(observations, axis=0, return_inverse=True)
        sums = np.zeros((len(distinct), rewards.shape[1]))
        np.add.at(sums, groups, rewards)  # users with equal observations get their mean: reward takes an observation
        return observations, (sums / np.bincount(groups)[:, None])[groups], unseen

    @cached_property
    def _index(self) -> dict[bytes, int]:
        return {row.tobytes(): user for user, row in enumerate(self.population())}

    def _users(self, observations: np.ndarray) -> list[int]:
        try:
            return [self._index[row.tobytes()] for row in np.asarray(observations, np.float32)]
        except KeyError:
            raise InvalidInput("observation: not one of a user of this environment; its reward is unknown") from None

    def _classic(self, ratings: Ratings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        matrix = ratings.matrix[:, : self.movies]
        matrix = matrix[matrix.sum(axis=1) > 0]
        user_factors, movie_factors = _factors(matrix, self.rank)
        return user_factors, user_factors @ movie_factors, np.zeros(len(user_factors), bool)

    def _held_out(self, ratings: Ratings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if ratings.age is None or ratings.male is None:
            raise InvalidInput("environment.ratings: the held_out setting needs u.user beside u.data")
        random = np.random.default_rng(self.seed)
        in_first_half = random.random(ratings.matrix.shape) < 0.5
        first_half, second_half = ratings.matrix * in_first_half, ratings.matrix * ~in_first_half
        unseen = random.random(len(ratings.matrix)) < self.cold_start_fraction
        _, movie_factors = _factors(first_half[~unseen], self.rank)
        user_factors = first_half @ np.linalg.pinv(movie_factors)
        activity = np.log1p((first_half > 0).sum(axis=1))
        features = [np.ones_like(activity), ratings.age / 50.0, ratings.male, activity / 5.0]
        reward_users, reward_movies = _factors(second_half, self.rank)
        return np.column_stack([*features, user_factors]), reward_users @ reward_movies[:, : self.movies], unseen


def _factors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """User factors [users, rank] and movie factors [rank, movies]; their product is the truncated SVD of the matrix."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    scale = np.sqrt(s[:rank])
    return u[:, :rank] * scale, scale[:, None] * v[:rank]
