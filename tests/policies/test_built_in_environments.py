"""Every built-in environment passes the conformance suite and is the problem that it says it is."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import ENVIRONMENTS, baselines
from banditloop.rl_core.environments.classification import Classification
from banditloop.rl_core.environments.delayed import Delayed
from banditloop.rl_core.environments.drifting import TIME, Drifting
from banditloop.rl_core.environments.gymnasium_environment import GymnasiumEnvironment
from banditloop.rl_core.environments.history import HISTORY_START, simulated_history
from banditloop.rl_core.environments.linear import Linear
from banditloop.rl_core.environments.movielens import MovieLens
from banditloop.rl_core.environments.sparse_clicks import SparseClicks
from banditloop.rl_core.environments.tf_agents_environment import TFAgentsEnvironment
from banditloop.rl_core.environments.wheel import Wheel
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.testing.environments import EnvironmentConformance
from tests.policies.test_episodic_environments import TESTED as EPISODIC

TF_WHEEL = f"{__name__}:tf_wheel"
TESTED = {
    "linear": Linear(dim=4, actions=3, contexts=50),
    "wheel": Wheel(contexts=200, delta=0.7),
    "drifting": Drifting(dim=4, actions=3, period=20),
    "drifting gradually": Drifting(dim=4, actions=3, period=20, change="gradual"),
    "sparse clicks": SparseClicks(contexts=200),
    "digits": Classification(),
    "delayed": Delayed(environment=Linear(dim=3), mean_seconds=0.5),
    "delayed changing movies": Delayed(environment=MovieLens(available=5)),
    "tf_agents": TFAgentsEnvironment(factory=TF_WHEEL, arguments={"delta": 0.5}, reward_range=[0.0, 50.0]),
}
FLOWERS = """petal length,petal-width,open,colour,label
1.4,0.2,true,white,setosa
4.7,1.4,false,blue,versicolor
6.0,,true,,virginica
5.1,1.8,false,blue,virginica
1.3,0.3,true,white,setosa
9.9,9.9,true,white,
"""


def tf_wheel(delta, batch_size=1):
    from tf_agents.bandits.environments.wheel_py_environment import WheelPyEnvironment

    return WheelPyEnvironment(delta, [1.2, 1.0, 1.0, 1.0, 1.0], [0.01] * 5, 50.0, 0.01, batch_size)


def test_every_environment_is_tested():
    """MovieLens in test_environments, Gymnasium's below, and those of episodes in test_episodic_environments."""
    tested = {environment.name for environment in [*TESTED.values(), *EPISODIC.values()]}
    assert tested | {"movielens", "gymnasium"} == set(ENVIRONMENTS)


class TestBuiltInEnvironments(EnvironmentConformance):
    @pytest.fixture(autouse=True, params=TESTED.values(), ids=TESTED)
    def every_environment(self, request):
        self.environment = request.param


class TestOwnTable(EnvironmentConformance):
    @pytest.fixture(autouse=True, params=["csv", "parquet"])
    def own_table(self, tmp_path, request):
        self.environment = Classification(dataset=str(write_flowers(tmp_path, request.param)))


def write_flowers(folder: Path, suffix: str = "csv") -> Path:
    path = folder / f"flowers.{suffix}"
    (folder / "flowers.csv").write_text(FLOWERS)
    if suffix == "parquet":
        pyarrow.parquet.write_table(pyarrow.csv.read_csv(folder / "flowers.csv"), path)
    return path


def test_an_own_table_has_features_by_type_and_the_labels_as_actions(tmp_path):
    environment = Classification(dataset=str(write_flowers(tmp_path)))
    assert environment.task.context == {
        "petal_length": "number",
        "petal_width": "number",
        "open": "boolean",
        "colour": "category",
    }
    assert environment.task.action_ids == ("setosa", "versicolor", "virginica")
    assert environment.population()["petal_width"] == [0.2, 1.4, None, 1.8, 0.3]
    assert environment.population()["colour"] == ["white", "blue", None, "blue", "white"]
    contexts = environment.population()
    right = np.array(["setosa", "versicolor", "virginica", "virginica", "setosa"], object)
    assert environment.reward(contexts, right, list("abcde")).tolist() == [1.0] * 5
    assert environment.reward(contexts, right[::-1], list("abcde")).tolist() == [1.0, 0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "/nowhere.csv"}, r"environment\.dataset: table '/nowhere\.csv': .* give 'digits', or the path"),
        ({"label": "species"}, r"environment\.label = 'species': is not a column of"),
        ({"label": "open"}, None),
        ({"content": "a,label\n1,x\n2,x\n"}, "has 1 classes; 2 to 1,000 can be actions"),
        ({"content": "a b,a_b,label\n1,2,x\n3,4,y\n"}, "two columns have the same name, up to signs"),
        ({"content": "2b,label\n1,x\n2,y\n"}, "2b"),
        ({"content": "a,label\n2020-01-01,x\n2020-01-02,y\n"}, "column 'a' is date32"),
        ({"content": ""}, "Empty CSV file"),
    ],
)
def test_a_table_that_is_no_classification_is_refused(settings, message, tmp_path):
    values, path = {"dataset": str(write_flowers(tmp_path))} | settings, tmp_path / "flowers.csv"
    if (content := values.pop("content", None)) is not None:
        path.write_text(content)
    environment = Classification.parse(values, "environment")
    if message is None:
        assert environment.task.action_ids == ("false", "true")
    else:
        with pytest.raises(InvalidInput, match=message) as error:
            environment.task  # noqa: B018
        assert "\n" not in str(error.value)


def test_digits_are_known_without_scikit_learn_until_they_are_drawn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    environment = Classification()
    assert environment.task.context["observation"].vector == 64
    with pytest.raises(InvalidInput, match="pip install scikit-learn"):
        environment.observe(1, np.random.default_rng(0))


def test_digits_have_ten_classes_about_equally_frequent():
    values = baselines(Classification())
    assert values["oracle"] == 1.0
    assert values["uniform"] == pytest.approx(0.1)
    assert 0.1 < values["best_fixed"] < 0.105
    pixels = Classification().population()["observation"]
    assert (pixels.min(), pixels.max()) == (0.0, 1.0)


def test_linear_rewards_are_linear_in_the_context():
    environment = Linear(dim=4, actions=3, contexts=50)
    contexts = environment.population()["observation"].astype(float)
    residuals = np.linalg.lstsq(contexts, environment.expected_rewards(), rcond=None)[1]
    assert residuals.max() < 1e-20


def test_no_linear_policy_is_optimal_on_the_wheel():
    environment = Wheel(contexts=20_000, delta=0.5)
    contexts, expected = environment.population()["observation"].astype(float), environment.expected_rewards()
    features = np.column_stack([np.ones(len(contexts)), contexts])
    fitted = features @ np.linalg.lstsq(features, expected, rcond=None)[0]
    value = expected[np.arange(len(expected)), fitted.argmax(axis=1)].mean()
    assert value < baselines(environment)["oracle"]
    rim = np.linalg.norm(contexts, axis=1) > 0.5
    assert rim.mean() == pytest.approx(0.75, abs=0.015)  # of the disk's area; five standard deviations
    assert baselines(environment)["oracle"] == pytest.approx(rim.mean() * 50 + (1 - rim.mean()) * 1.2)


def test_the_wheels_best_actions_are_those_of_tf_agents():
    import banditloop.rl_core.tf  # noqa: F401

    # isort: split
    from tf_agents.bandits.environments.wheel_py_environment import compute_optimal_action

    environment = Wheel(contexts=500, delta=0.6)
    theirs = compute_optimal_action(environment.population()["observation"], 0.6)
    np.testing.assert_array_equal(environment.expected_rewards().argmax(axis=1), theirs)


@pytest.mark.parametrize("change", ["abrupt", "gradual"])
def test_drifting_weights_change_with_the_number_of_contexts(change):
    environment = Drifting(dim=4, actions=3, period=100, change=change, noise=0.0)
    contexts = environment.observe(250, np.random.default_rng(0))
    np.testing.assert_array_equal(contexts[TIME], np.arange(250))
    np.testing.assert_array_equal(environment.observe(10, np.random.default_rng(0))[TIME], np.arange(250, 260))
    rewards = environment.reward(contexts, np.zeros(250, int), [""] * 250)
    expected = [environment.weights(row)[0] @ contexts["observation"][row] for row in range(250)]
    np.testing.assert_allclose(rewards, expected, atol=1e-6)
    same = np.array_equal(environment.weights(0), environment.weights(50))
    assert same == (change == "abrupt")
    assert np.abs(environment.weights(0) - environment.weights(100)).max() > 0.1
    steps = [np.abs(environment.weights(row) - environment.weights(row + 1)).max() for row in range(250)]
    assert (max(steps) < 0.1) == (change == "gradual")


@pytest.mark.parametrize("settings", [{}, {"actions": 30, "click_rate": 0.05}])
def test_clicks_have_the_set_rate_and_are_worth_learning(settings):
    environment = SparseClicks(**settings)
    values = baselines(environment)
    assert values["uniform"] == pytest.approx(environment.click_rate, rel=1e-6)
    assert values["oracle"] > 1.5 * values["best_fixed"] > 1.5 * 1.5 * values["uniform"]


def test_delays_are_exponential_with_the_mean_and_add_up():
    event_ids = [f"event-{row}" for row in range(20_000)]
    inner = Delayed(environment=Linear(), mean_seconds=2.0)
    delays = inner.delays(event_ids)
    assert delays.mean() == pytest.approx(2.0, abs=0.07)  # five standard deviations
    assert np.median(delays) == pytest.approx(2 * np.log(2), abs=0.07)
    outer = Delayed(environment=inner, mean_seconds=2.0)
    np.testing.assert_allclose(outer.delays(event_ids), 2 * delays)
    [(decisions, rewards)] = simulated_history(inner, 10, "reward", seed=0)
    waits = np.array(rewards["timestamp"].to_pylist()) - np.array(decisions["timestamp"].to_pylist())
    expected = inner.delays(decisions["event_id"].to_pylist())
    np.testing.assert_allclose([wait.total_seconds() for wait in waits], expected, atol=1e-6)


def test_a_config_nests_the_environment_that_is_delayed():
    values = {"environment": {"name": "delayed", "environment": {"name": "linear", "dim": 7}}}
    config = Config.parse(values)
    assert config.environment == Delayed(environment=Linear(dim=7))
    assert config.task == Linear(dim=7).task
    assert Config.parse(config.to_dict()) == config
    with pytest.raises(InvalidInput, match=r"environment\.name = 'liner': is not one of: cartpole, classification"):
        Config.parse({"environment": {"name": "delayed", "environment": {"name": "liner"}}})


@pytest.mark.parametrize("name", ["gymnasium", "tf_agents", "gymnasium_episodes", "tf_agents_episodes"])
@pytest.mark.parametrize("bounds", [[1.0, 0.0], [1.0, 1.0], [0.0], [0.0, 1.0, 2.0], [0.0, 1e7]])
def test_a_reward_range_that_is_none_is_refused_by_the_key_that_has_it(name, bounds):
    environment = {"name": name, "reward_range": bounds}
    environment |= {"id": "CartPole-v1"} if "gymnasium" in name else {"factory": TF_WHEEL}
    with pytest.raises(InvalidInput) as error:
        Config.parse({"environment": environment})
    assert str(error.value).startswith(f"environment.reward_range = {bounds}: ")


def test_a_data_sets_relative_path_belongs_to_the_configs_folder(tmp_path):
    write_flowers(tmp_path)
    inner = '[environment]\nname = "delayed"\n[environment.environment]\nname = "classification"\n'
    (tmp_path / "loop.toml").write_text(inner + 'dataset = "flowers.csv"\n')
    config = Config.load(tmp_path / "loop.toml")
    assert config.task.action_ids == ("setosa", "versicolor", "virginica")
    assert Config.parse(config.to_dict()).environment.environment.dataset == str(tmp_path / "flowers.csv")


class TestHistory:
    def test_numbered_actions_that_are_all_candidates_are_not_listed(self):
        [(decisions, _)] = simulated_history(Linear(actions=4), 20, "reward", seed=0)
        assert decisions["candidates"].to_pylist() == [[]] * 20
        assert decisions["probabilities"].to_pylist() == [[0.25] * 4] * 20
        assert set(decisions["action"].to_pylist()) <= {"0", "1", "2", "3"}
        assert decisions["timestamp"][0].as_py() == HISTORY_START
        assert decisions["assignment_share"].null_count == 20

    def test_named_actions_are_listed(self, tmp_path):
        environment = Classification(dataset=str(write_flowers(tmp_path)))
        [(decisions, _)] = simulated_history(environment, 20, "reward", seed=0)
        assert decisions["candidates"].to_pylist() == [["setosa", "versicolor", "virginica"]] * 20
        assert decisions["context"].to_pylist()[0].keys() == environment.task.context.keys()

    def test_candidates_and_their_features_are_those_of_the_environment(self):
        environment = MovieLens(available=5, genres=True)
        [(decisions, rewards)] = simulated_history(environment, 20, "reward", seed=0)
        features = environment.action_features()
        for row in decisions.to_pylist():
            assert len(row["candidates"]) == 5
            assert row["action"] in row["candidates"]
            assert row["propensity"] == 0.2
            assert row["candidate_features"] == [features[int(action)] for action in row["candidates"]]
        contexts = {"observation": np.array(decisions["context"].combine_chunks().field("observation").to_pylist())}
        expected = environment.reward(contexts, np.array(decisions["action"].cast("int64")), [""] * 20)
        np.testing.assert_array_equal(rewards["value"].to_numpy(), expected)


class TestTFAgents:
    def test_its_rewards_are_those_of_the_wrapped_environment(self):
        environment = TFAgentsEnvironment(factory=TF_WHEEL, arguments={"delta": 0.5}, reward_range=[0.0, 50.0])
        wheel = Wheel(delta=0.5)
        contexts = environment.observe(100, np.random.default_rng(0))
        for action in range(5):
            actions, event_ids = np.full(100, action), [str(row) for row in range(100)]
            rewards = environment.reward(contexts, actions, event_ids)
            np.testing.assert_allclose(rewards, wheel.means(contexts, actions), atol=0.05)  # five standard deviations
            assert len(set(rewards)) > 90  # their noise

    def test_global_generators_go_on_as_if_nothing_had_been_drawn(self):
        environment = TFAgentsEnvironment(factory=TF_WHEEL, arguments={"delta": 0.5})
        np.random.seed(1)
        expected = np.random.random()
        np.random.seed(1)
        environment.observe(3, np.random.default_rng(0))
        assert np.random.random() == expected

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"factory": "no.such:factory"}, "No module named 'no'; give module:function"),
            ({"factory": f"{__name__}:no_such_factory"}, "has no attribute 'no_such_factory'"),
            ({"factory": TF_WHEEL}, "missing 1 required positional argument: 'delta'"),
            ({"factory": TF_WHEEL, "arguments": {"delta": 0.5, "batch_size": 2}}, "batch_size of 1"),
        ],
    )
    def test_a_wrong_factory_is_refused(self, settings, message):
        with pytest.raises(InvalidInput, match=message):
            TFAgentsEnvironment.parse(settings, "environment").task  # noqa: B018

    def test_ours_tells_tf_agents_metric_the_optimal_reward(self):
        """RegretMetric of a random policy: the mean difference from the best rewards."""
        from banditloop.rl_core.environments.tf_environment import PyEnvironment

        # isort: split
        from tf_agents.bandits.environments import environment_utilities
        from tf_agents.bandits.metrics.tf_metrics import RegretMetric
        from tf_agents.trajectories import trajectory

        environment = PyEnvironment(Linear(noise=0.0), batch_size=8, seed=0)
        first = environment.reset()
        actions = np.arange(8, dtype=np.int32)
        second = environment.step(actions)
        best = environment.optimal_reward(first.observation)
        np.testing.assert_array_equal(environment.compute_optimal_reward(), best)
        step = trajectory.from_transition(first, trajectory_action(actions), second)
        theirs = environment_utilities.compute_optimal_reward_with_movielens_environment
        for baseline in (environment.optimal_reward, lambda observation: theirs(observation, environment)):
            metric = RegretMetric(baseline)
            metric(step)
            assert float(metric.result()) == pytest.approx(float((best - second.reward).mean()), abs=1e-6)
        assert (best >= second.reward - 1e-6).all()

    def test_an_unknown_optimal_reward_is_refused(self):
        from banditloop.rl_core.environments.tf_environment import PyEnvironment

        drifting, linear = (PyEnvironment(part, batch_size=2, seed=0) for part in (Drifting(), Linear()))
        with pytest.raises(InvalidInput, match="has no expected rewards"):
            drifting.optimal_reward(drifting.reset().observation)
        with pytest.raises(InvalidInput, match="is not one of the population"):
            linear.optimal_reward(np.zeros((1, 10)))


def trajectory_action(actions):
    from tf_agents.trajectories import policy_step

    return policy_step.PolicyStep(actions)


GYMNASIUM = {
    "CartPole-v1": {"warm_up_steps": 20},
    "FrozenLake-v1": {"warm_up_steps": 30, "arguments": {"is_slippery": True}},
    "Blackjack-v1": {"reward_range": [-1.0, 1.0]},
}


class TestGymnasium(EnvironmentConformance):
    @pytest.fixture(autouse=True, params=GYMNASIUM.items(), ids=GYMNASIUM)
    def every_environment(self, request):
        name, settings = request.param
        self.environment = GymnasiumEnvironment(id=name, **settings)

    def test_wrong_ids_are_refused(self):
        for name, message in {"NoSuch-v0": "NoSuch", "Pendulum-v1": "not discrete"}.items():
            with pytest.raises(InvalidInput, match=message):
                GymnasiumEnvironment(id=name).task  # noqa: B018
        with pytest.raises(InvalidInput, match="no_such_argument"):
            GymnasiumEnvironment(id=self.environment.id, arguments={"no_such_argument": 1}).task  # noqa: B018

    def test_contexts_are_states_on_the_way_of_random_actions(self):
        steps = self.environment.model_copy(update={"warm_up_steps": 0}).observe(30, np.random.default_rng(0))
        walks = self.environment.observe(30, np.random.default_rng(0))
        differ = (steps["observation"] != walks["observation"]).any(axis=1).mean()
        assert (differ > 0.5) == (self.environment.warm_up_steps > 0)


def test_gymnasium_is_an_option(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(InvalidInput, match="pip install gymnasium"):
        GymnasiumEnvironment(id="CartPole-v1").task  # noqa: B018
