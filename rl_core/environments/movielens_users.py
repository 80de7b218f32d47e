"""The users of MovieLens: what is observed of them and how they rate, by factorising the matrix of ratings."""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np

from banditloop.rl_core.environments.disk_cache import cached
from banditloop.rl_core.environments.movielens_files import RATINGS
from banditloop.rl_core.environments.ratings import Ratings
from banditloop.rl_core.errors import InvalidInput

CACHE_VERSION = 1  # of the computation: increase it whenever its results change


class Users(NamedTuple):
    """Observations float32 [users, dim], mean rewards [users, movies], and whether users are unseen bool [users].

    An unseen user was excluded from fitting the movie factors of the observations.
    """

    observations: np.ndarray
    rewards: np.ndarray
    unseen: np.ndarray


def classic(ratings: Ratings, rank: int, movies: int) -> Users:
    """The users who rated one of the first `movies` movies, by the factors of those ratings."""
    settings = ["classic", rank, movies]
    return Users(**cached(_key(ratings, settings), lambda: _classic(ratings, rank, movies)._asdict()))


def held_out(ratings: Ratings, rank: int, movies: int, cold_start_fraction: float, seed: int) -> Users:
    """All users, observed by one half of their ratings and rewarding by the other.

    Raises:
        InvalidInput: the ratings have no age and gender.
    """
    if ratings.age is None or ratings.male is None:
        raise InvalidInput(f"{RATINGS}: the held_out setting needs u.user beside u.data")
    arguments = rank, movies, cold_start_fraction, seed
    return Users(**cached(_key(ratings, ["held_out", *arguments]), lambda: _held_out(ratings, *arguments)._asdict()))


def _key(ratings: Ratings, settings: list[Any]) -> str:
    """The name of the users in the cache: a digest of all that they depend on."""
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, np.__version__, *settings]).encode())
    for array in (ratings.matrix, ratings.age, ratings.male):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return f"movielens-{digest.hexdigest()[:32]}"


def _classic(ratings: Ratings, rank: int, movies: int) -> Users:
    matrix = ratings.matrix[:, :movies]
    matrix = matrix[matrix.sum(axis=1) > 0]
    user_factors, movie_factors = _factors(matrix, min(rank, movies))
    return _merged(user_factors, user_factors @ movie_factors, np.zeros(len(user_factors), bool))


def _held_out(ratings: Ratings, rank: int, movies: int, cold_start_fraction: float, seed: int) -> Users:
    assert ratings.age is not None and ratings.male is not None
    random = np.random.default_rng(seed)
    in_first_half = random.random(ratings.matrix.shape) < 0.5
    first_half, second_half = ratings.matrix * in_first_half, ratings.matrix * ~in_first_half
    unseen = random.random(len(ratings.matrix)) < cold_start_fraction
    _, movie_factors = _factors(first_half[~unseen], rank)
    user_factors = first_half @ np.linalg.pinv(movie_factors)
    activity = np.log1p((first_half > 0).sum(axis=1))
    features = [np.ones_like(activity), ratings.age / 50.0, ratings.male, activity / 5.0]
    reward_users, reward_movies = _factors(second_half, rank)
    return _merged(np.column_stack([*features, user_factors]), reward_users @ reward_movies[:, :movies], unseen)


def _merged(observations: np.ndarray, rewards: np.ndarray, unseen: np.ndarray) -> Users:
    """Users, of whom those with equal observations share their mean rewards: rewards depend on observations alone."""
    observations = observations.astype(np.float32)
    distinct, groups = np.unique(observations, axis=0, return_inverse=True)
    sums = np.zeros((len(distinct), rewards.shape[1]))
    np.add.at(sums, groups, rewards)
    return Users(observations, (sums / np.bincount(groups)[:, None])[groups], unseen)


def _factors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """User factors [users, rank] and movie factors [rank, movies]; their product is the truncated SVD of the matrix.

    A matrix of lower rank than `rank`, say of very few users, has factors of zeros.
    """
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    scale = np.sqrt(s[:rank])
    missing = max(rank - len(s), 0)
    return np.pad(u[:, :rank] * scale, [(0, 0), (0, missing)]), np.pad(
        scale[:, None] * v[:rank], [(0, missing), (0, 0)]
    )
