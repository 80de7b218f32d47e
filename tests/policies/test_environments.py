"""Every environment passes the conformance suite; MovieLens equals TF-Agents' and has its known values."""

import hashlib
import http.server
import importlib.util
import io
import threading
import zipfile

import numpy as np
import pytest

from banditloop.rl_core.environments import ENVIRONMENTS, MovieLens, baselines, policy_value
from banditloop.rl_core.environments import ratings as ratings_module
from banditloop.rl_core.environments.ratings import load_ratings
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.testing.environments import EnvironmentConformance

CLASSIC, SMALL, HELD_OUT = MovieLens(), MovieLens(rank=5, movies=7), MovieLens(setting="held_out")
TESTED_ENVIRONMENTS = {"classic": CLASSIC, "small": SMALL, "held_out": HELD_OUT}
MAX_OUTSIDE_RANGE = {SMALL: 0.005, HELD_OUT: 0.01}  # approximated ratings, some of which lie outside 0 to 5
every_environment = pytest.mark.parametrize("environment", TESTED_ENVIRONMENTS.values(), ids=TESTED_ENVIRONMENTS)


def test_every_environment_is_tested():
    assert {environment.name for environment in TESTED_ENVIRONMENTS.values()} == set(ENVIRONMENTS)


class TestEnvironments(EnvironmentConformance):
    @pytest.fixture(autouse=True, params=TESTED_ENVIRONMENTS.values(), ids=TESTED_ENVIRONMENTS)
    def every_environment(self, request):
        self.environment = request.param
        self.max_outside_range = MAX_OUTSIDE_RANGE.get(request.param, type(self).max_outside_range)


@every_environment
def test_baseline_values_are_ordered(environment):
    values = baselines(environment)
    assert values["uniform"] < values["best_fixed"] < values["oracle"]
    uniform = np.full((len(environment.population()), environment.actions), 1 / environment.actions)
    assert policy_value(environment, uniform) == pytest.approx(values["uniform"])


@every_environment
def test_an_unknown_observation_is_refused(environment):
    with pytest.raises(InvalidInput, match="not one of a user of this environment"):
        environment.reward(np.full((1, environment.dim), 123.0), np.zeros(1, int), ["a"])


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
    np.testing.assert_allclose(ours.population(), theirs._u_hat, atol=1e-6)
    np.testing.assert_allclose(ours.expected_rewards(), theirs._approx_ratings_matrix, atol=1e-9)


def test_the_classic_setting_has_its_known_baselines():
    values = baselines(CLASSIC)
    assert (round(values["uniform"], 3), round(values["best_fixed"], 3)) == (0.878, 2.379)
    assert round(values["oracle"], 3) == 4.573
    assert len(CLASSIC.population()) == 737


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
    np.testing.assert_array_equal(changed.population(), HELD_OUT.population())
    assert np.abs(changed.expected_rewards() - HELD_OUT.expected_rewards()).max() > 1


def test_the_held_out_setting_has_users_unseen_by_the_factors():
    assert 0.15 < HELD_OUT.unseen_users().mean() < 0.25
    assert len(HELD_OUT.population()) == 943


def test_ratings_are_read_from_an_unpacked_grouplens_folder(tmp_path):
    write_ml100k(tmp_path / "ml-100k")
    ours = load_ratings(str(tmp_path / "ml-100k"))
    np.testing.assert_array_equal(ours.matrix, load_ratings(None).matrix)
    np.testing.assert_array_equal(ours.age, load_ratings(None).age)
    np.testing.assert_array_equal(ours.male, load_ratings(None).male)


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
    monkeypatch.setenv("HOME", str(tmp_path))
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


def write_ml100k(folder):
    ratings = load_ratings(None)
    folder.mkdir(parents=True)
    lines = (
        f"{u + 1}\t{i + 1}\t{ratings.matrix[u, i]:g}\t0\n" for u, i in zip(*np.nonzero(ratings.matrix), strict=True)
    )
    (folder / "u.data").write_text("".join(lines))
    users = zip(ratings.age, ratings.male, strict=True)
    rows = (f"{u}|{age}|{'M' if male else 'F'}|other|00000\n" for u, (age, male) in enumerate(users, 1))
    (folder / "u.user").write_text("".join(rows))
