"""The files of MovieLens-100K, joined by the ids of users and movies. Other editions are refused by their names."""

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

from banditloop.rl_core.errors import InvalidInput

USERS, MOVIES = 943, 1682
RATINGS = "environment.ratings"  # the config key of the source
EDITION = f"this environment takes MovieLens-100K: users 1 to {USERS}, movies 1 to {MOVIES}, ratings 1 to 5"
OTHER_EDITIONS = {
    "ratings.dat": "is MovieLens 1M or 10M",
    "ratings.csv": "is MovieLens latest, 20M, 25M or 32M",
}  # by a file of their folders
COLUMNS = {
    "user": ("user", "userid"),
    "movie": ("movie", "movieid", "item", "itemid"),
    "rating": ("rating",),
}  # and their names in files with a header, in lower case and without underscores


def rating_matrix(text: bytes, path: str) -> np.ndarray:
    """The ratings [users, movies], 0 where unrated, in the content of a file.

    Its lines are user, movie, rating and perhaps a time, separated by tabs or commas; or any columns with a header.

    Raises:
        InvalidInput: it is another edition of MovieLens, or not such a file.
    """
    where = f"{RATINGS} = {path!r}"
    if b"::" in text[:1000]:
        raise InvalidInput(f"{where}: {OTHER_EDITIONS['ratings.dat']}; {EDITION}")
    try:
        columns = _columns(text)
    except (pa.ArrowException, ValueError, IndexError) as error:
        raise InvalidInput(f"{where}: not lines of user, movie, rating, timestamp ({error})") from None
    return fill_matrix(columns, where)


def fill_matrix(columns: Sequence[np.ndarray], where: str) -> np.ndarray:
    """The ratings [users, movies] of user, movie and rating columns, 0 where unrated.

    Raises:
        InvalidInput: an id or a rating is out of range or no whole number, or a user has rated a movie twice.
    """
    user, movie, rating = columns
    if len(rating) and np.isin(rating, np.arange(0.5, 5.5, 0.5)).all() and (rating % 1).any():
        raise InvalidInput(f"{where}: has half stars: {OTHER_EDITIONS['ratings.csv']}; {EDITION}")
    limits = (USERS, MOVIES, 5)
    valid = np.all([(c >= 1) & (c <= n) & (c % 1 == 0) for c, n in zip(columns, limits, strict=True)], axis=0)
    if not valid.all():
        row = int(np.argmin(valid))
        raise InvalidInput(
            f"{where}: row {row + 1} is user {user[row]:g}, movie {movie[row]:g}, rating {rating[row]:g}; {EDITION}"
        )
    cells = user.astype(int) - 1, movie.astype(int) - 1
    _check_unique(cells, where)
    matrix = np.zeros((USERS, MOVIES))
    matrix[cells] = rating
    return matrix


def order_by_id(ids: Sequence[float], count: int, where: str) -> np.ndarray:
    """The positions [count] of the ids 1, 2, … in a column of ids. InvalidInput: they are not these ids."""
    numbers = np.asarray(ids, np.float64)
    if len(numbers) != count or not np.array_equal(np.sort(numbers), np.arange(1, count + 1)):
        raise InvalidInput(f"{where}: has {len(numbers)} ids; MovieLens-100K has 1 to {count}, each once")
    return np.argsort(numbers)


def read_users(text: bytes, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Age in years and male [users], of lines user|age|gender in any order. InvalidInput: they are not such lines."""
    where = f"{RATINGS} = {path!r}"
    rows = [line.split("|") for line in text.decode("latin-1").splitlines()]
    try:
        order = order_by_id([int(row[0]) for row in rows], USERS, where)
        age, gender = np.array([int(row[1]) for row in rows]), np.array([row[2] for row in rows])
    except IndexError:
        raise InvalidInput(f"{where}: not lines of user|age|gender") from None
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(f"{where}: not lines of user|age|gender ({error})") from None
    return users_in_order(order, age, gender, where)


def users_in_order(order: np.ndarray, age: np.ndarray, gender: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Age and male [users], in an order. InvalidInput: an age is not 1 to 120 years, or a gender neither M nor F."""
    if not (((age >= 1) & (age <= 120)).all() and np.isin(gender, ("M", "F")).all()):
        raise InvalidInput(f"{where}: an age is not 1 to 120, or a gender neither M nor F")
    return age[order], gender[order] == "M"


def _columns(text: bytes) -> list[np.ndarray]:
    """User, movie and rating columns: by their names, or without a header by their places."""
    separator = "\t" if b"\t" in text[:1000] else ","
    has_header = any(byte in b"abcdefghijklmnopqrstuvwxyz" for byte in text.split(b"\n", 1)[0].lower())
    table = pyarrow.csv.read_csv(
        io.BytesIO(text),
        read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=not has_header),
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator),
    )
    places = _named(table.column_names) if has_header else _unnamed(table)
    return [table.column(place).to_numpy().astype(np.float64) for place in places]


def _named(header: list[str]) -> list[int]:
    bare = [name.strip().lower().replace("_", "") for name in header]
    places = [[place for place, name in enumerate(bare) if name in names] for names in COLUMNS.values()]
    if any(len(matches) != 1 for matches in places):
        raise ValueError(f"the header has {', '.join(header)}; give one column each of {', '.join(COLUMNS)}")
    return [place for [place] in places]


def _unnamed(table: pa.Table) -> list[int]:
    """The first three columns, unless a column of row numbers stands before them."""
    if table.num_columns not in (3, 4):
        raise ValueError(f"{table.num_columns} columns; give 3 or 4, or a header")
    if table.num_columns == 4:
        times = table.column(3).to_numpy().astype(np.float64)
        if len(times) and ((times >= 1) & (times <= 5)).all():
            raise ValueError("the fourth column looks like ratings: is the first one a table's index? leave it out")
    return [0, 1, 2]


def _check_unique(cells: tuple[np.ndarray, np.ndarray], where: str) -> None:
    keys = np.ravel_multi_index(cells, (USERS, MOVIES))
    distinct, counts = np.unique(keys, return_counts=True)
    if (counts > 1).any():
        user, movie = np.unravel_index(distinct[np.argmax(counts > 1)], (USERS, MOVIES))
        raise InvalidInput(f"{where}: user {user + 1} has rated movie {movie + 1} more than once")
