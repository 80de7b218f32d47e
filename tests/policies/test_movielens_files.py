"""Files of MovieLens: joined by ids in whatever order, refused where their content does not fit, and other editions."""

import numpy as np
import pytest

from banditloop.rl_core.environments.movies import load_movies
from banditloop.rl_core.environments.ratings import load_ratings
from banditloop.rl_core.errors import InvalidInput
from tests.policies.test_environments import write_ml100k


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movielens") / "ml-100k"
    write_ml100k(folder)
    return folder


def test_rows_in_any_order_are_joined_by_their_ids(folder, tmp_path):
    for name in ("u.data", "u.user", "u.item"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        np.random.default_rng(0).shuffle(lines)
        (tmp_path / name).write_text("".join(lines))
    shuffled, sorted_ = load_ratings(str(tmp_path)), load_ratings(str(folder))
    for name in ("matrix", "age", "male"):
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(sorted_, name))
    assert load_movies(str(tmp_path)) == load_movies(str(folder))


@pytest.mark.parametrize(
    "text",
    [
        "userId,movieId,rating,timestamp\n7,3,4,0\n",
        ",user_id,item_id,rating\n0,7,3,4\n",  # pandas' index
        "rating\ttimestamp\tmovie\tuser\n4.0\t0\t3\t7\n",
        "7,3,4\n",
        "7\t3\t4\t881250949\n",
    ],
)
def test_columns_are_those_of_the_header_or_the_first_three(text, tmp_path):
    (tmp_path / "ratings.csv").write_text(text)
    matrix = load_ratings(str(tmp_path / "ratings.csv")).matrix
    assert (matrix[6, 2], matrix.sum()) == (4, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1::1193::5::978300760\n", "is MovieLens 1M or 10M; this environment takes MovieLens-100K"),
        ("userId,movieId,rating,timestamp\n1,1,4.0,1\n1,3,3.5,1\n", "has half stars: is MovieLens latest"),
        ("userId,movieId,rating,timestamp\n1,193609,4.0,1\n", "row 1 is user 1, movie 193609, rating 4; this"),
        ("1.5\t1\t5\t0\n", "row 1 is user 1.5, movie 1, rating 5; this environment"),
        ("1\t1.5\t5\t0\n", "row 1 is user 1, movie 1.5"),
        ("1\t1\tnan\t0\n", "not lines of user|rating nan"),
        ("1,7,3,4\n2,7,4,5\n", "the fourth column looks like ratings: is the first one a table's index"),
        ("1,7,3,4,881250949\n", "5 columns; give 3 or 4, or a header"),
        ("user,film,rating\n1,1,5\n", "the header has user, film, rating; give one column each of user, movie, rating"),
        ("user,user_id,movie,rating\n1,1,1,5\n", "give one column each"),
        ("1\t1\t5\t0\n2\t2\t3\t0\n1\t1\t4\t1\n", "user 1 has rated movie 1 more than once"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(text, message, tmp_path):
    (tmp_path / "u.data").write_text(text)
    with pytest.raises(InvalidInput, match=message) as error:
        load_ratings(str(tmp_path / "u.data"))
    assert str(error.value).startswith("environment.ratings = ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "edition"), [("ratings.dat", "MovieLens 1M or 10M"), ("ratings.csv", "MovieLens latest, 20M")]
)
def test_folders_of_other_editions_are_refused_by_name(name, edition, tmp_path):
    (tmp_path / name).write_text("")
    with pytest.raises(InvalidInput, match=f"is {edition}.*; this environment takes MovieLens-100K"):
        load_ratings(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1:], "has 942 ids; MovieLens-100K has 1 to 943, each once"),
        (lambda lines: [*lines[:-1], lines[0]], "has 943 ids; MovieLens-100K has 1 to 943, each once"),
        (lambda lines: ["1.5" + lines[0][1:], *lines[1:]], "not lines of user"),
        (lambda lines: [lines[0].replace("|M|", "|male|"), *lines[1:]], "a gender neither M nor F"),
        (lambda lines: ["1|0|M|x|0", *lines[1:]], "an age is not 1 to 120"),
        (lambda lines: ["1", *lines[1:]], "not lines of user"),
    ],
)
def test_users_that_do_not_fit_are_refused(folder, tmp_path, change, message):
    (tmp_path / "u.data").write_text("1\t1\t5\t0\n")
    (tmp_path / "u.user").write_text("\n".join(change((folder / "u.user").read_text().splitlines())))
    with pytest.raises(InvalidInput, match=message):
        load_ratings(str(tmp_path))


@pytest.mark.parametrize("change", [lambda lines: lines[1:], lambda lines: [*lines[:-1], lines[0]], lambda lines: []])
def test_movies_that_do_not_fit_are_refused(folder, tmp_path, change):
    (tmp_path / "u.item").write_text("\n".join(change((folder / "u.item").read_text().splitlines())))
    with pytest.raises(InvalidInput, match="MovieLens-100K has 1 to 1682, each once"):
        load_movies(str(tmp_path))
