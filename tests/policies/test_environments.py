"""Every MovieLens setting passes the conformance suite, equals TF-Agents' where it can, and has its known values."""

import hashlib
import http.server
import importlib.util
import io
import threading
import zipfile

import numpy as np
import pytest

from banditloop.rl_core.environments import baselines, policy_value
from banditloop.rl_core.environments import ratings as ratings_module
from banditloop.rl_core.environments.movielens import MovieLens
from banditloop.rl_core.environments.movies import GENRES, load_movies
from banditloop.rl_core.environments.ratings import load_ratings
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.testing.environments import EnvironmentConformance

CLASSIC, SMALL, HELD_OUT = MovieLens(), MovieLens(rank=5, movies=7), MovieLens(setting="held_out")
CHANGING = MovieLens(movies=40, available=10, genres=True)
VALUED = {"classic": CLASSIC, "small": SMALL, "held_out": HELD_OUT}
SETTINGS = VALUED | {"changing": CHANGING, "genres": MovieLens(genres=True)}
MAX_OUTSIDE_RANGE = {SMALL: 0.005, HELD_OUT: 0.01}  # approximated ratings, some of which lie outside 0 to 5
every_valued = pytest.mark.parametrize("environment", VALUED.values(), ids=VALUED)


class TestMovieLens(EnvironmentConformance):
    @pytest.fixture(autouse=True, params=SETTINGS.values(), ids=SETTINGS)
    def every_setting(self, request):
        self.environment = request.param
        self.max_outside_range = MAX_OUTSIDE_RANGE.get(request.param, type(self).max_outside_range)


def observations(environment):
    return environment.population()["observation"]


@every_valued
def test_baseline_values_are_ordered(environment):
    values = baselines(environment)
    assert values["uniform"] < values["best_fixed"] < values["oracle"]
    uniform = np.full_like(environment.expected_rewards(), 1 / environment.movies)
    assert policy_value(environment, uniform) == pytest.approx(values["uniform"])


@every_valued
def test_an_unknown_observation_is_refused(environment):
    with pytest.raises(InvalidInput, match="not one of a user of this environment"):
        environment.reward({"observation": np.full_like(observations(environment)[:1], 123.0)}, np.zeros(1, int), ["a"])


@pytest.mark.parametrize(("rank", "movies"), [(20, 20), (5, 30)])
def test_the_classic_setting_equals_tf_agents(rank, movies, tmp_path):
    import banditloop.rl_core.tf  # noqa: F401

    # isort: split
    from tf_agents.bandits.environments.movielens_py_environment import MovieLensPyEnvironment

    matrix = load_ratings(None).matrix
    users, items = np.nonzero(matrix)
    lines = (f"{u + 1},{i + 1},{matrix[u, i]:g},0\n" for u, i in zip(users, items, strict=True))
    (tmp_path / "ratings.csv").write_text("".join(lines))
    theirs = MovieLensPyEnvironment(str(tmp_path / "ratings.csv"), rank, batch_size=1, num_movies=movies)
    ours = MovieLens(rank=rank, movies=movies, ratings=str(tmp_path / "ratings.csv"))
    np.testing.assert_allclose(observations(ours), theirs._u_hat, atol=1e-6)
    np.testing.assert_allclose(ours.expected_rewards(), theirs._approx_ratings_matrix, atol=1e-9)


def test_the_classic_setting_has_its_known_baselines():
    values = baselines(CLASSIC)
    assert (round(values["uniform"], 3), round(values["best_fixed"], 3)) == (0.878, 2.379)
    assert round(values["oracle"], 3) == 4.573
    assert len(observations(CLASSIC)) == 737


def test_held_out_observations_do_not_depend_on_the_rewarding_half(monkeypatch):
    """Shuffling the rewarding half changes the rewards and leaves the observations unchanged."""
    ratings = load_ratings(None)
    observed_half = np.random.default_rng(HELD_OUT.seed).random(ratings.matrix.shape) < 0.5
    shuffled = ratings.matrix.copy()
    shuffled[~observed_half] = np.random.default_rng(9).permutation(shuffled[~observed_half])
    monkeypatch.setattr(
        "banditloop.rl_core.environments.movielens.load_ratings",
        lambda source: ratings_module.Ratings(shuffled, ratings.age, ratings.male),
    )
    changed = MovieLens(setting="held_out")
    np.testing.assert_array_equal(observations(changed), observations(HELD_OUT))
    assert np.abs(changed.expected_rewards() - HELD_OUT.expected_rewards()).max() > 1


def test_the_held_out_setting_has_users_unseen_by_the_factors():
    assert 0.15 < HELD_OUT.unseen_users().mean() < 0.25
    assert len(observations(HELD_OUT)) == 943


def test_the_task_is_known_without_the_ratings():
    """Which are loaded when a context or a reward is asked for."""
    for settings in ({}, {"setting": "held_out"}, {"genres": True}):
        environment = MovieLens(**settings, ratings="/nowhere")
        task = MovieLens(**settings).task
        assert environment.task == task
        assert task.context["observation"].vector == observations(MovieLens(**settings)).shape[1]
        with pytest.raises(InvalidInput, match="/nowhere"):
            environment.observe(1, np.random.default_rng(0))


def test_a_visit_chooses_from_so_many_movies_drawn_uniformly():
    contexts = CHANGING.observe(4_000, np.random.default_rng(0))
    candidates = CHANGING.candidates(contexts, np.random.default_rng(1))
    assert {len(ids) for ids in candidates} == {10}
    counts = np.bincount([int(movie) for ids in candidates for movie in ids], minlength=40)
    assert np.abs(counts / 4_000 - 0.25).max() < 0.035  # five standard deviations
    assert CHANGING.expected_rewards() is None


def test_movies_have_genres_and_a_year():
    assert CHANGING.action_features()[0] == {"genres": ["Animation", "Children's", "Comedy"], "year": 1995.0}
    assert load_movies(None)[266] == {"genres": [], "year": None}  # its title is "unknown"
    assert CLASSIC.action_features() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"available": 21}, "available = 21: give 2 to 20"),
        ({"available": 1}, "available = 1: give 2 to 20"),
        ({"movies": 1682, "genres": True}, "a request can list 1000 movies"),
    ],
)
def test_impossible_numbers_of_movies_are_refused(settings, message):
    with pytest.raises(InvalidInput, match=message):
        MovieLens.parse(settings, "environment")


class TestCache:
    @pytest.fixture(autouse=True)
    def empty_cache(self, tmp_path, monkeypatch):
        self.folder = tmp_path / "banditloop"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def factorised(self):
        return MovieLens(rank=5, movies=7).expected_rewards()

    def test_users_are_factorised_once(self, monkeypatch):
        first = self.factorised()
        monkeypatch.setattr(np.linalg, "svd", None)
        np.testing.assert_array_equal(self.factorised(), first)

    def test_other_settings_and_ratings_have_files_of_their_own(self, tmp_path):
        write_ml100k(tmp_path / "ml-100k", changed=True)
        for settings in ({}, {"rank": 4}, {"movies": 8}, {"ratings": str(tmp_path / "ml-100k")}):
            MovieLens.parse({"rank": 5, "movies": 7} | settings).expected_rewards()
        assert len(list(self.folder.iterdir())) == 4

    @pytest.mark.parametrize("content", [b"", b"not an archive", None])
    def test_a_corrupt_file_is_replaced(self, content):
        first = self.factorised()
        [file] = self.folder.iterdir()
        whole = file.read_bytes()
        file.write_bytes(whole[:-100] if content is None else content)
        np.testing.assert_array_equal(self.factorised(), first)
        assert file.read_bytes() == whole

    def test_a_cache_that_cannot_be_written_is_ignored(self, tmp_path):
        self.folder.write_text("a file where the folder would be")
        np.testing.assert_array_equal(self.factorised(), SMALL.expected_rewards())


def test_ratings_are_read_from_an_unpacked_grouplens_folder(tmp_path):
    write_ml100k(tmp_path / "ml-100k")
    ours = load_ratings(str(tmp_path / "ml-100k"))
    np.testing.assert_array_equal(ours.matrix, load_ratings(None).matrix)
    np.testing.assert_array_equal(ours.age, load_ratings(None).age)
    np.testing.assert_array_equal(ours.male, load_ratings(None).male)
    assert load_movies(str(tmp_path / "ml-100k")) == load_movies(None)
    beside = load_ratings(str(tmp_path / "ml-100k" / "u.data"))  # users and movies are found beside the file, too
    np.testing.assert_array_equal(beside.matrix, ours.matrix)
    np.testing.assert_array_equal([beside.age, beside.male], [ours.age, ours.male])
    assert load_movies(str(tmp_path / "ml-100k" / "u.data")) == load_movies(None)


def test_genres_require_the_file_of_movies(tmp_path):
    (tmp_path / "u.data").write_text("1\t1\t5\t0\n")
    with pytest.raises(InvalidInput, match=r"genres need u\.item"):
        MovieLens(genres=True, ratings=str(tmp_path)).action_features()
    with pytest.raises(InvalidInput, match=r"genres need u\.item"):
        MovieLens(genres=True, ratings=str(tmp_path / "u.data")).action_features()


def test_downloaded_ratings_are_verified_and_cached(tmp_path, monkeypatch, caplog):
    write_ml100k(tmp_path / "made" / "ml-100k")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in ("u.data", "u.user"):
            zipped.write(tmp_path / "made" / "ml-100k" / name, f"ml-100k/{name}")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(archive.getvalue())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(ratings_module, "URL", f"http://127.0.0.1:{server.server_port}/ml-100k.zip")
    with pytest.raises(InvalidInput, match="published checksum"):
        load_ratings("download")
    monkeypatch.setattr(ratings_module, "MD5", hashlib.md5(archive.getvalue()).hexdigest())
    np.testing.assert_array_equal(load_ratings("download").matrix, load_ratings(None).matrix)
    assert "its licence allows research use" in caplog.text
    server.shutdown()
    np.testing.assert_array_equal(load_ratings("download").matrix, load_ratings(None).matrix)  # from the cache


def test_missing_ratings_raise_an_error_that_lists_all_sources(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for source in (None, str(tmp_path / "nowhere")):
        with pytest.raises(InvalidInput, match=r"a path or gs:// URI of MovieLens.*'download'.*pip install") as error:
            load_ratings(source)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "no numbers\n", "1\t2\n", "0\t1\t5\t0\n", "1\t1\t6\t0\n", "1,1683,5,0\n"])
def test_a_file_without_ratings_is_refused(tmp_path, text):
    (tmp_path / "u.data").write_text(text)
    with pytest.raises(InvalidInput, match=r"environment\.ratings"):
        load_ratings(str(tmp_path / "u.data"))


def test_the_held_out_setting_requires_the_file_of_users(tmp_path):
    (tmp_path / "u.data").write_text("1\t1\t5\t0\n")
    with pytest.raises(InvalidInput, match=r"needs u\.user"):
        MovieLens(setting="held_out", ratings=str(tmp_path / "u.data")).population()


def write_ml100k(folder, changed=False):
    """Write the installed package's ratings, users and movies as an ml-100k folder; changed: the first rating is 1."""
    ratings = load_ratings(None)
    folder.mkdir(parents=True)
    if changed:
        ratings.matrix[0, 0] = 1
    lines = (
        f"{u + 1}\t{i + 1}\t{ratings.matrix[u, i]:g}\t0\n" for u, i in zip(*np.nonzero(ratings.matrix), strict=True)
    )
    (folder / "u.data").write_text("".join(lines))
    users = zip(ratings.age, ratings.male, strict=True)
    rows = (f"{u}|{age}|{'M' if male else 'F'}|other|00000\n" for u, (age, male) in enumerate(users, 1))
    (folder / "u.user").write_text("".join(rows))
    (folder / "u.item").write_text("".join(map(item_line, range(1, 1683), load_movies(None))))


def item_line(number, movie):
    date = f"01-Jan-{movie['year']:.0f}" if movie["year"] else ""
    flags = "|".join(str(int(genre in movie["genres"])) for genre in GENRES)
    return f"{number}|title|{date}||url|0|{flags}\n"
