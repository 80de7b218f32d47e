"""The genres and years of MovieLens-100K's movies, from the sources of its ratings."""

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet
from pyarrow.fs import FileType

from banditloop.rl_core.environments.files import locate, read
from banditloop.rl_core.environments.movielens_files import MOVIES, RATINGS, order_by_id
from banditloop.rl_core.environments.ratings import SOURCES_HINT, beside_ratings, package_folder, ratings_folder
from banditloop.rl_core.errors import InvalidInput

GENRES = (
    *("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)  # in the order of u.item
FIRST_GENRE = 6  # column of u.item, after one for unknown genres


def load_movies(source: str | None) -> list[dict[str, Any]]:
    """`genres` (a list) and `year` (a number, or None if unknown) of every movie. `source` is that of load_ratings.

    Raises:
        InvalidInput: the source is missing, or not that of MovieLens-100K.
    """
    rows = list(_from_package() if source is None else _from_folder(ratings_folder(source)))
    order = order_by_id([movie_id for movie_id, _ in rows], MOVIES, f"{RATINGS} = {source!r}: the file of movies")
    return [rows[place][1] for place in order]


def _from_package() -> Iterator[tuple[int, dict[str, Any]]]:
    table = pyarrow.parquet.read_table(package_folder() / "MovieLens100k_items.parquet.brotli")
    for row in table.to_pylist():
        yield row["movie_id"], _movie(row["release_date"], [row[genre] for genre in GENRES])


def _from_folder(folder: str) -> Iterator[tuple[int, dict[str, Any]]]:
    file_system, path = locate(folder, RATINGS, SOURCES_HINT)
    items = beside_ratings(file_system, path, "u.item")
    if file_system.get_file_info(items).type == FileType.NotFound:
        raise InvalidInput(f"{RATINGS} = {folder!r}: genres need u.item beside u.data")
    for line in read(file_system, items, RATINGS, SOURCES_HINT).decode("latin-1").splitlines():
        columns = line.split("|")
        try:
            yield (
                int(columns[0]),
                _movie(columns[2], [int(flag) for flag in columns[FIRST_GENRE : FIRST_GENRE + len(GENRES)]]),
            )
        except (IndexError, ValueError) as error:
            raise InvalidInput(f"{RATINGS} = {items!r}: not lines of id|title|date|…|genres ({error})") from None


def _movie(release_date: str | None, flags: list[int]) -> dict[str, Any]:
    """A movie by its release date, as 01-Jan-1995, and a flag per genre."""
    genres = [genre for genre, flag in zip(GENRES, flags, strict=True) if flag]
    return {"genres": genres, "year": float(release_date[-4:]) if release_date else None}
