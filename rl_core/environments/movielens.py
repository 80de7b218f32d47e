"""MovieLens-100K as a bandit: which of the first movies to recommend to a user."""

import zlib
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from rl_core.environments.environment import Environment
from rl_core.environments.ratings import MOVIES, Ratings, load_ratings
from rl_core.errors import InvalidInput


class MovieLens(Environment):
    """The `classic` setting is that of TF-Agents' MovieLensPyEnvironment; the `honest` one leaks nothing.

    classic: the ratings of the first `movies` movies, unrated as 0, approximated to `rank` by SVD. The observation is
    the user's factor and the reward the approximated rating: a noise-free linear function of the observation.

    honest: each user's ratings are split in two halves. The observation is made of the first half (projected on
    movie factors that were fitted to the first halves of other users) and of age, gender and activity. The mean
    reward is a rank-`rank` approximation of the second halves, which no observation has seen, and the reward adds
    Gaussian noise. A share of the users, `unseen`, takes no part in fitting the factors.
    """

    name: Literal["movielens"] = "movielens"
    setting: Literal["classic", "honest"] = Field(
        "classic", description="classic: that of TF-Agents; honest: the observations know nothing of the rewards"
    )
    rank: int = Field(20, ge=1, le=200, description="rank of the approximation")
    movies: int = Field(20, ge=2, le=MOVIES, description="how many movies there are to recommend")
    noise: float = Field(0.5, ge=0, description="honest: standard deviation of a reward")
    unseen: float = Field(0.2, ge=0, lt=1, description="honest: share of users the movie factors were not fitted to")
    seed: int = Field(0, ge=0, description="honest: seed of the splits")
    ratings: str | None = Field(None, description="a path, 'download', or nothing for the installed package")

    @property
    def dim(self) -> int:
        return self._world[0].shape[1]

    @property
    def actions(self) -> int:
        return self.movies

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, 5.0

    def population(self) -> np.ndarray:
        return self._world[0]

    def expected_rewards(self) -> np.ndarray:
        return self._world[1]

    def unseen_users(self) -> np.ndarray:
        """honest: which users the movie factors were not fitted to, bool [users]."""
        return self._world[2]

    def reward(self, observations: np.ndarray, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        means = self.expected_rewards()[self._users(observations), actions]
        if self.setting == "classic":
            return means
        noise = [np.random.default_rng(zlib.crc32(event_id.encode())).normal() for event_id in event_ids]
        return means + self.noise * np.array(noise)

    @cached_property
    def _world(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Observations [users, dim], mean rewards [users, movies], and which users are unseen [users]."""
        ratings = load_ratings(self.ratings)
        observations, rewards, unseen = self._classic(ratings) if self.setting == "classic" else self._honest(ratings)
        observations = observations.astype(np.float32)
        _, first, users = np.unique(observations, axis=0, return_index=True, return_inverse=True)
        sums = np.zeros((len(first), rewards.shape[1]))
        np.add.at(sums, users, rewards)  # users who look the same share their mean: reward is of the observation
        return observations, (sums / np.bincount(users)[:, None])[users], unseen

    @cached_property
    def _index(self) -> dict[bytes, int]:
        return {row.tobytes(): user for user, row in enumerate(self.population())}

    def _users(self, observations: np.ndarray) -> list[int]:
        try:
            return [self._index[row.tobytes()] for row in np.asarray(observations, np.float32)]
        except KeyError:
            raise InvalidInput("observation: not one that this environment makes; its reward is unknown") from None

    def _classic(self, ratings: Ratings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        matrix = ratings.matrix[:, : self.movies]
        matrix = matrix[matrix.sum(axis=1) > 0]
        users, movies = _factors(matrix, self.rank)
        return users, users @ movies, np.zeros(len(users), bool)

    def _honest(self, ratings: Ratings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if ratings.age is None or ratings.male is None:
            raise InvalidInput("environment.ratings: the honest setting needs u.user beside u.data")
        random = np.random.default_rng(self.seed)
        first = random.random(ratings.matrix.shape) < 0.5
        seen_half, reward_half = ratings.matrix * first, ratings.matrix * ~first
        unseen = random.random(len(ratings.matrix)) < self.unseen
        _, movies = _factors(seen_half[~unseen], self.rank)
        taste = seen_half @ np.linalg.pinv(movies)
        activity = np.log1p((seen_half > 0).sum(axis=1))
        features = [np.ones_like(activity), ratings.age / 50.0, ratings.male, activity / 5.0]
        users, rewarded = _factors(reward_half, self.rank)
        return np.column_stack([*features, taste]), users @ rewarded[:, : self.movies], unseen


def _factors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Users [users, rank] and movies [rank, movies] whose product is the best rank-`rank` approximation (SVD)."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    scale = np.sqrt(s[:rank])
    return u[:, :rank] * scale, scale[:, None] * v[:rank]
