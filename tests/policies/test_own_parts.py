"""A custom agent and environment from outside the package: selection by name, conformance, saving and checksums."""

import json
import zlib

import numpy as np
import pytest
from pydantic import Field

from banditloop.rl_core.agents import WEIGHTS, MergeableAgent, Model, one_hot, write_arrays
from banditloop.rl_core.agents.agent import append_zeros, learning_metrics, reward_sums
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import ENVIRONMENTS, Environment
from banditloop.rl_core.environments.environment import draw
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.settings.feature_kinds import Vector
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.agents import AgentConformance
from banditloop.rl_core.testing.environments import EnvironmentConformance
from banditloop.rl_core.testing.merging import MergeConformance
from banditloop.rl_core.testing.policies import make_policy
from banditloop.rl_core.testing.sections import as_pipeline_parameter

COEFFICIENTS = "ridge/coefficients.npy"  # a file that no agent of the package writes


class RidgeModel(Model):
    def __init__(self, theta):
        self.theta = theta

    @property
    def shape(self):
        actions, dim = self.theta.shape
        return dim, actions

    def probabilities(self, observations, eligible=None):
        return one_hot(self.greedy_actions(observations, eligible), len(self.theta))

    def expected_rewards(self, observations):
        return np.einsum("bi,ai->ba", observations.astype(float), self.theta)


class Ridge(MergeableAgent):
    """One ridge regression per action, followed greedily."""

    name: str
    l2: float = Field(1.0, gt=0)

    def initial_statistics(self, dim, actions):
        arrays = {"covariances": np.zeros((actions, dim, dim)), "vectors": np.zeros((actions, dim))}
        return arrays | {"counts": np.zeros(actions, np.int64), "rewards": np.zeros(actions)}

    def with_actions(self, statistics, actions):
        return {name: append_zeros(array, actions) for name, array in statistics.items()}

    def accumulate(self, statistics, batch):
        observations, actions, rewards, sample_weight = batch[:4]
        x, weights = observations.astype(float), one_hot(actions, len(statistics["counts"]))
        weights = weights if sample_weight is None else weights * sample_weight[:, None]
        sums = {
            "covariances": np.einsum("ba,bi,bj->aij", weights, x, x),
            "vectors": np.einsum("ba,bi,b->ai", weights, x, rewards),
        }
        return self.merge(statistics, sums | reward_sums(batch, len(statistics["counts"])))

    def merge(self, left, right):
        return {name: left[name] + right[name] for name in left}

    def metrics(self, statistics):
        return learning_metrics(statistics)

    def save(self, statistics, folder):
        penalty = self.l2 * np.eye(statistics["vectors"].shape[1])
        theta = np.linalg.solve(statistics["covariances"] + penalty, statistics["vectors"][:, :, None])[:, :, 0]
        (folder / COEFFICIENTS).parent.mkdir()
        np.save(folder / COEFFICIENTS, theta)

    def export_saved_model(self, folder, dim, actions):
        from banditloop.rl_core.agents.saved_model import save_policy
        from banditloop.rl_core.tf import tf

        def decide(arrays, observations):
            rewards = tf.matmul(observations, arrays["theta"], transpose_b=True)
            return tf.one_hot(tf.argmax(rewards, axis=1), actions, dtype=rewards.dtype), rewards

        write_arrays(folder / WEIGHTS, {"theta": np.load(folder / COEFFICIENTS)})
        save_policy(folder, dim, actions, decide)

    def load(self, folder):
        return RidgeModel(np.load(folder / COEFFICIENTS))


class Clicks(Environment):
    """Users who click a banner with a probability that is logistic in their features."""

    name: str
    users: int = Field(50, ge=1)
    banners: int = Field(3, ge=2)

    @property
    def task(self):
        return Task(actions=self.banners, reward_range=[0.0, 1.0], context={"user": Vector(vector=4)})

    def observe(self, batch, random):
        return draw(self.population(), batch, random)

    def population(self):
        return {"user": np.random.default_rng(0).normal(size=(self.users, 4)).astype(np.float32)}

    def expected_rewards(self):
        return self._click_probabilities(self.population()["user"])

    def reward(self, contexts, actions, event_ids):
        uniforms = [np.random.default_rng(zlib.crc32(event_id.encode())).random() for event_id in event_ids]
        probabilities = self._click_probabilities(contexts["user"])[np.arange(len(actions)), actions]
        return (np.array(uniforms) < probabilities).astype(float)

    def _click_probabilities(self, users):
        weights = np.random.default_rng(1).normal(size=(4, self.banners))
        return 1 / (1 + np.exp(-users.astype(float) @ weights))


RIDGE, CLICKS = f"{__name__}:Ridge", f"{__name__}:Clicks"


class TestRidge(AgentConformance, MergeConformance):
    agent = Ridge(name=RIDGE, l2=0.5)
    bad_hyperparameters = ({"l2": 0.0},)


class TestClicks(EnvironmentConformance):
    environment = Clicks(name=CLICKS, users=40)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution whose entry points are the agent and the environment."""
    folder = tmp_path / "site" / "own_parts-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: own-parts\nVersion: 1.0\n")
    points = f"[banditloop.agents]\nridge = {RIDGE}\n\n[banditloop.environments]\nclicks = {CLICKS}\n"
    (folder / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(folder.parent))


def custom_config(agent, environment):
    return Config.parse({"agent": {"name": agent, "l2": 0.5}, "environment": {"name": environment, "users": 40}})


def assert_selected(agent, environment):
    config = custom_config(agent, environment)
    assert config.agent == Ridge(name=agent, l2=0.5)
    assert config.environment == Clicks(name=environment, users=40)
    assert Config.parse(config.to_dict()) == Config.parse(as_pipeline_parameter(config)) == config
    assert Config.parse(json.loads(json.dumps(config.to_dict()))) == config


def test_a_config_selects_custom_parts_by_module_and_class():
    assert_selected(RIDGE, CLICKS)


def test_a_config_selects_custom_parts_by_entry_point(installed):
    assert_selected("ridge", "clicks")


def test_entry_point_names_are_unknown_without_the_distribution():
    with pytest.raises(InvalidInput, match=r"agent\.name = 'ridge': is not one of: .*linucb, neural_epsilon_greedy"):
        custom_config("ridge", CLICKS)
    with pytest.raises(
        InvalidInput, match=f"environment.name = 'clicks': is not one of: {', '.join(sorted(ENVIRONMENTS))};"
    ):
        Config.parse({"agent": {"name": "linucb"}, "environment": {"name": "clicks"}})


def test_error_messages_list_entry_points(installed):
    with pytest.raises(InvalidInput, match=r"is not one of: .*linucb, .*ridge, .*; or give module:Class"):
        custom_config("rigde", CLICKS)


def test_hyperparameters_of_custom_parts_are_validated():
    with pytest.raises(InvalidInput, match=r"^agent\.l2 = -0\.5: Input should be greater than 0$"):
        Config.parse({"agent": {"name": RIDGE, "l2": -0.5}, "environment": {"name": CLICKS}})


@pytest.fixture
def policy(tmp_path):
    make_policy(tmp_path / "policy", dim=4, actions=3, agent=Ridge(name=RIDGE))
    return tmp_path / "policy"


def test_a_policy_is_loaded_from_the_custom_agents_file(policy):
    loaded = SavedPolicy.load(policy)
    assert COEFFICIENTS in loaded.manifest.files
    assert loaded.model.shape == (4, 3)
    np.testing.assert_allclose(loaded.probabilities(np.zeros((2, 4), np.float32)).sum(axis=1), 1)


@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_a_corrupt_custom_file_is_refused_by_file_name(policy, damage):
    path = policy / COEFFICIENTS
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InvalidInput, match=COEFFICIENTS) as error:
        SavedPolicy.load(policy)
    assert "\n" not in str(error.value)
