"""One conformance suite for every environment, and what MovieLens claims."""

import hashlib
import http.server
import importlib.util
import io
import threading
import zipfile

import numpy as np
import pytest

from rl_core.environments import MovieLens, baselines, value
from rl_core.environments import ratings as ratings_module
from rl_core.environments.ratings import load_ratings
from rl_core.errors import InvalidInput

CLASSIC, HONEST = MovieLens(), MovieLens(setting="honest")
every_environment = pytest.mark.parametrize(
    "environment", [CLASSIC, MovieLens(rank=5, movies=7), HONEST], ids=["classic", "small", "honest"]
)


@every_environment
def test_observations_are_users_of_the_population(environment):
    population = environment.population()
    assert population.dtype == np.float32
    assert population.shape[1] == environment.dim
    assert np.isfinite(population).all()
    observed = environment.observe(50, np.random.default_rng(0))
    assert observed.shape == (50, environment.dim)
    assert {row.tobytes() for row in observed} <= {row.tobytes() for row in population}
    assert (observed == environment.observe(50, np.random.default_rng(0))).all()


@every_environment
def test_reward_is_a_pure_function_of_observation_action_and_event(environment):
    observed = environment.observe(50, np.random.default_rng(1))
    actions = np.random.default_rng(2).integers(environment.actions, size=50)
    event_ids = [f"event-{row}" for row in range(50)]
    rewards = environment.reward(observed, actions, event_ids)
    order = np.random.default_rng(3).permutation(50)
    again = environment.reward(observed[order], actions[order], [event_ids[row] for row in order])
    assert rewards.shape == (50,)
    assert (again == rewards[order]).all()


@every_environment
def test_rewards_average_to_what_is_expected(environment):
    observed = np.repeat(environment.population()[:1], 4000, axis=0)
    actions = np.zeros(4000, int)
    rewards = environment.reward(observed, actions, [str(row) for row in range(4000)])
    assert rewards.mean() == pytest.approx(environment.expected_rewards()[0, 0], abs=4 * 0.5 / np.sqrt(4000))


@every_environment
def test_values_are_ordered(environment):
    figures = baselines(environment)
    assert figures["uniform"] < figures["best_fixed"] < figures["oracle"]
    uniform = np.full((len(environment.population()), environment.actions), 1 / environment.actions)
    assert value(environment, uniform) == pytest.approx(figures["uniform"])


@every_environment
def test_an_observation_from_elsewhere_has_no_reward(environment):
    with pytest.raises(InvalidInput, match="not one that this environment makes"):
        environment.reward(np.full((1, environment.dim), 123.0), np.zeros(1, int), ["a"])


@every_environment
def test_tf_agents_validates_its_adapter(environment):
    from rl_core.environments.py_environment import PyEnvironment

    # isort: split
    from tf_agents.environments.utils import validate_py_environment

    validate_py_environment(PyEnvironment(environment, batch_size=8, seed=0), episodes=3)


@pytest.mark.parametrize(("rank", "movies"), [(20, 20), (5, 30)])
def test_the_classic_setting_is_that_of_tf_agents(rank, movies, tmp_path):
    import rl_core.tf  # noqa: F401

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


def test_the_classic_setting_has_its_known_figures():
    figures = baselines(CLASSIC)
    assert (round(figures["uniform"], 3), round(figures["best_fixed"], 3)) == (0.878, 2.379)
    assert round(figures["oracle"], 3) == 4.573
    assert len(CLASSIC.population()) == 737


def test_the_honest_setting_shows_nothing_of_the_half_that_rewards(monkeypatch):
    """Whatever the rewarding half says, the observations stay the same; and the rewards do not."""
    real = load_ratings(None)
    first = np.random.default_rng(HONEST.seed).random(real.matrix.shape) < 0.5
    other = real.matrix.copy()
    other[~first] = np.random.default_rng(9).permutation(other[~first])
    monkeypatch.setattr(
        "rl_core.environments.movielens.load_ratings",
        lambda source: ratings_module.Ratings(other, real.age, real.male),
    )
    changed = MovieLens(setting="honest")
    np.testing.assert_array_equal(changed.population(), HONEST.population())
    assert np.abs(changed.expected_rewards() - HONEST.expected_rewards()).max() > 1


def test_the_honest_setting_has_users_that_the_factors_never_saw():
    assert 0.15 < HONEST.unseen_users().mean() < 0.25
    assert len(HONEST.population()) == 943


def test_ratings_come_from_the_folder_that_grouplens_unpacks_to(tmp_path):
    write_ml100k(tmp_path / "ml-100k")
    ours = load_ratings(str(tmp_path / "ml-100k"))
    np.testing.assert_array_equal(ours.matrix, load_ratings(None).matrix)
    np.testing.assert_array_equal(ours.age, load_ratings(None).age)
    np.testing.assert_array_equal(ours.male, load_ratings(None).male)


def test_ratings_can_be_downloaded_and_the_checksum_is_checked(tmp_path, monkeypatch, caplog):
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


def test_without_ratings_anywhere_the_three_ways_are_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for source in (None, str(tmp_path / "nowhere")):
        with pytest.raises(InvalidInput, match=r"a path to MovieLens.*'download'.*pip install") as error:
            load_ratings(source)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "no numbers\n", "1\t2\n", "0\t1\t5\t0\n", "1\t1\t6\t0\n", "1,1683,5,0\n"])
def test_a_file_that_holds_no_ratings_is_refused(tmp_path, text):
    (tmp_path / "u.data").write_text(text)
    with pytest.raises(InvalidInput, match=r"environment\.ratings"):
        load_ratings(str(tmp_path / "u.data"))


def test_the_honest_setting_needs_users(tmp_path):
    (tmp_path / "u.data").write_text("1\t1\t5\t0\n")
    with pytest.raises(InvalidInput, match=r"needs u\.user"):
        MovieLens(setting="honest", ratings=str(tmp_path / "u.data")).population()


def write_ml100k(folder):
    ratings = load_ratings(None)
    folder.mkdir(parents=True)
    lines = (
        f"{u + 1}\t{i + 1}\t{ratings.matrix[u, i]:g}\t0\n" for u, i in zip(*np.nonzero(ratings.matrix), strict=True)
    )
    (folder / "u.data").write_text("".join(lines))
    people = zip(ratings.age, ratings.male, strict=True)
    rows = (f"{u}|{age}|{'M' if male else 'F'}|other|00000\n" for u, (age, male) in enumerate(people, 1))
    (folder / "u.user").write_text("".join(rows))
