"""The config: one-line errors, the round trip through a pipeline parameter, and a description of every key."""

import json
import os
from pathlib import Path

import pytest
from google.protobuf import json_format, struct_pb2

from banditloop import pipelines
from banditloop.pipelines.cli.options import DEFAULT_CONFIG, load_config
from banditloop.rl_core.config import Config
from banditloop.rl_core.config_defaults import REGISTRIES
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from banditloop.rl_core.settings.section import Section
from banditloop.rl_core.testing.sections import as_pipeline_parameter
from tests.conftest import make_config

GOOD = {"environment": {"name": "movielens"}, "agent": {"name": "linucb"}}
EPISODES = {"environment": {"name": "cartpole"}}
GOOGLE = {"name": "google", "project": "a-project", "bucket": "bucket", "image": "example.com/image:1"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (GOOD | {"nonsense": {}}, "nonsense = {}: is no key; the config has: backend, task, environment, agent"),
        (GOOD | {"retrainig": {}}, "retrainig = {}: is no key; did you mean 'retraining'?"),
        (GOOD | {"serving": {"prot": 1}}, "serving.prot = 1: is no key; did you mean 'port'?"),
        (GOOD | {"agent": {"name": "linucb", "alhpa": 1}}, "agent.alhpa = 1: is no key; did you mean 'alpha'?"),
        (GOOD | {"agent": {"name": "linuc"}}, "or give module:Class; did you mean 'linucb'?"),
        (GOOD | {"environment": {"name": "movielens", "moves": 3}}, "environment.moves = 3: is no key; did you mean"),
        (
            {"task": {"actions": {"table": "a.csv", "idd": "x"}}},
            "task.actions.idd = 'x': is no key; did you mean 'id'?",
        ),
        (GOOD | {"reward": {"name": "activation"}}, "reward.name = 'activation': is an event of a decision"),
        (GOOD | {"reward": {"name": "x" * 257}}, "reward.name = 'xxx"),
        (
            GOOD | {"reward": {"name": "a\nb"}},
            "reward.name = 'a\\nb': give one line of 1 to 1,000 printable characters",
        ),
        (GOOD | {"backend": {"root": "a\nb"}}, "backend.root = 'a\\nb': give one line"),
        (GOOD | {"backend": {"root": "a\0b"}}, "backend.root = 'a\\x00b': give one line"),
        (GOOD | {"backend": {"root": ""}}, "backend.root = '': give one line of 1 to"),
        (GOOD | {"backend": {"root": "x" * 1001}}, "backend.root = 'xxx"),
        (GOOD | {"retraining": {"template": "\x1b[2J"}}, "retraining.template = '\\x1b[2J': give one line"),
        (GOOD | {"serving": {"host": "a\n"}}, "serving.host = 'a\\n': give one line"),
        ({"environment": {"name": "movielens", "ratings": "a\nb"}}, "environment.ratings = 'a\\nb': give one line"),
        ({"environment": {"name": "classification", "label": ""}}, "environment.label = ''"),
        (
            {"environment": {"name": "movielens", "seed": 2**53 + 1}},
            "environment.seed = 9007199254740993: give",
        ),
        ({"environment": {"name": "movielens", "seed": 2.0**60}}, "environment.seed = 1.15"),
        ({"task": {"actions": {"table": "a\nb.csv"}}}, "task.actions.table = 'a\\nb.csv': give one line"),
        ({"task": {"reward_range": [-1e300, 1]}}, "has values beyond 1,000,000; scale the rewards"),
        (GOOD | {"agent": {"name": "linucb", "alhpa": 1.0}}, "agent.alhpa = 1"),
        (GOOD | {"agent": {"name": "linucb", "alpha": "1"}}, "agent.alpha = '1': Input should be a valid number"),
        (GOOD | {"agent": {"name": "linucb", "l2": 0}}, "agent.l2 = 0: Input should be greater than 0"),
        (GOOD | {"agent": {"name": "linucb", "l2": -1.0}}, "agent.l2 = -1"),
        (GOOD | {"agent": {"name": "linucb", "alpha": float("nan")}}, "agent.alpha = nan"),
        (
            GOOD | {"agent": {"name": "lincub"}},
            "agent.name = 'lincub': is not one of: bag, behaviour_cloning, best_fixed",
        ),
        (GOOD | {"agent": {"name": ["linucb"]}}, "agent.name = ['linucb']"),
        (GOOD | {"agent": {"name": "neural_epsilon_greedy", "hidden_units": 0}}, "agent.hidden_units = 0"),
        (GOOD | {"agent": {"name": "neural_epsilon_greedy", "learning_rate": 2.0}}, "agent.learning_rate = 2"),
        (
            GOOD
            | {"agent": {"name": "neural_epsilon_greedy"}}
            | {"backend": GOOGLE, "training": {"machine_type": "n1-standard-4", "replicas": 3}},
            "training.replicas = 3: neural_epsilon_greedy trains on one machine",
        ),
        (GOOD | {"environment": {"name": "movielens", "rank": 2.5}}, "environment.rank = 2.5"),
        (GOOD | {"environment": {"name": "movielens", "rank": True}}, "environment.rank = True"),
        (GOOD | {"policy": {"exploration": 0}}, "policy.exploration = 0"),
        (GOOD | {"reward": {"aggregation": "median"}}, "reward.aggregation = 'median'"),
        (GOOD | {"backend": {"endpoint": "No Spaces"}}, "backend.endpoint = 'No Spaces'"),
        (
            GOOD | {"backend": GOOGLE | {"runner": "kfp"}},
            "backend.kfp_host = '': the runner kfp needs the URL",
        ),
        (GOOD | {"backend": GOOGLE | {"kfp_host": "pipelines.example"}}, "backend.kfp_host = 'pipelines.example'"),
        (GOOD | {"backend": {"runner": "kfp"}}, "backend.runner = 'kfp'"),
        (
            GOOD | {"training": {"machine_type": "n1-standard-4"}},
            "training.machine_type = 'n1-standard-4': the backend",
        ),
        (
            GOOD
            | {"training": {"machine_type": "n1-standard-4"}}
            | {"backend": GOOGLE | {"runner": "kfp", "kfp_host": "https://pipelines.example"}},
            "training.machine_type = 'n1-standard-4': Kubeflow Pipelines' own tasks train",
        ),
        (GOOD | {"agent": {"name": "json:JSONEncoder"}}, "agent.name = 'json:JSONEncoder': is not a subclass of Agent"),
        (GOOD | {"agent": {"name": "nowhere:Agent"}}, "agent.name = 'nowhere:Agent': No module named 'nowhere'"),
        ({"agent": {"name": "linucb"}}, "task: is missing"),
        ({"task": {"actions": 1}}, "task.actions = 1: give a number from 2 to"),
        ({"task": {"actions": 2, "context": {"age": "numbr"}}}, "task.context.age = 'numbr': is not a kind of feature"),
        ({"task": {"actions": 2, "reward_range": [1.0, 5.0]}}, "reward.default = 0.0: is outside task.reward_range"),
        (GOOD | {"agent": {"name": "dqn"}}, "agent.name = 'dqn': learns from episodes; add the section episodes"),
        (GOOD | {"episodes": {}, "agent": {"name": "linucb"}}, "agent.name = 'linucb': learns from single decisions"),
        (
            GOOD | {"episodes": {}, "agent": {"name": "dqn"}},
            "environment.name = 'movielens': has no episodes",
        ),
        (EPISODES | {"reward": {"default": "ignore"}}, "reward.default = 'ignore': every step of an episode needs a"),
        (
            EPISODES | {"reward": {"name": "terminal"}},
            "reward.name = 'terminal': is an event of a decision, not a reward",
        ),
        (
            EPISODES | {"episodes": {"rewards": {"click": 1.0}}},
            "episodes.rewards: lacks 'reward', which the environment",
        ),
        (EPISODES | {"episodes": {"metrics": ["a", "a"]}}, "episodes.metrics = ['a', 'a']: a name occurs twice"),
        (EPISODES | {"episodes": {"discount": 1.5}}, "episodes.discount = 1.5"),
        ([], "valid dictionary"),
    ],
)
def test_a_bad_config_is_refused_in_one_line_with_key_and_value(values, message):
    with pytest.raises(InvalidInput) as error:
        Config.parse(values)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_survives_a_pipeline_parameter_which_makes_every_number_a_float(config):
    parameter = json_format.ParseDict(config.to_dict(), struct_pb2.Struct())
    received = json_format.MessageToDict(parameter)
    assert isinstance(received["environment"]["rank"], float)
    assert Config.parse(received) == config
    assert isinstance(Config.parse(received).environment.model_dump()["rank"], int)


def test_the_environment_variable_holds_the_config_as_json_or_as_a_file(config, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, ENVIRONMENT_VARIABLE, json.dumps(config.to_dict()))
    assert Config.from_environment() == config
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    monkeypatch.setitem(os.environ, ENVIRONMENT_VARIABLE, str(tmp_path / "config.json"))
    assert Config.from_environment() == config
    for value in ("", "{", str(tmp_path / "none.toml")):
        monkeypatch.setitem(os.environ, ENVIRONMENT_VARIABLE, value)
        with pytest.raises(InvalidInput):
            Config.from_environment()


TASK = "[task]\nactions = {table = 'articles.parquet'}\n"


@pytest.mark.parametrize("source", ["path", "variable"])
def test_paths_of_a_config_file_belong_to_its_folder_defaults_included(source, tmp_path, monkeypatch):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "loop.toml").write_text(TASK + "[backend]\nroot = 'here'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, ENVIRONMENT_VARIABLE, "shop/loop.toml")
    config = Config.load("shop/loop.toml") if source == "path" else Config.from_environment()
    assert config.backend.root == str(folder / "here")
    assert config.retraining.template == str(folder / "build" / "pipelines" / "retraining.yaml")
    assert config.task.actions.table == str(folder / "articles.parquet")
    assert Config.parse(config.to_dict()) == config  # wherever it travels


def test_paths_of_an_environment_and_of_one_within_it_belong_to_the_config_s_folder(tmp_path):
    inner = "name = 'movielens'\nratings = 'ratings/u.data'"
    for text in (f"[environment]\n{inner}", f"[environment]\nname = 'delayed'\n[environment.environment]\n{inner}"):
        (tmp_path / "loop.toml").write_text(text)
        environment = Config.load(tmp_path / "loop.toml").environment
        environment = getattr(environment, "environment", environment)
        assert environment.ratings == str(tmp_path / "ratings" / "u.data")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("root", "/somewhere"),
        ("template", "gs://bucket/retraining.yaml"),
        ("table", "gs://bucket/articles.parquet"),
        ("table", "a-project.dataset.articles"),
        ("ratings", "download"),
    ],
)
def test_what_is_no_relative_path_stays_as_it_is(key, value, tmp_path):
    texts = {
        "root": f"[backend]\nroot = '{value}'",
        "template": f"[retraining]\ntemplate = '{value}'",
        "table": f"[task]\nactions = {{table = '{value}'}}",
        "ratings": f"[environment]\nname = 'movielens'\nratings = '{value}'",
    }
    path = tmp_path / "loop.toml"
    path.write_text(texts[key] if key in ("table", "ratings") else f"{TASK}{texts[key]}")
    config = Config.load(path)
    values = {
        "root": config.backend.root,
        "template": config.retraining.template,
        "table": getattr(config.task.actions, "table", None),
        "ratings": config.environment and config.environment.ratings,
    }
    assert values[key] == value


def test_a_path_of_the_home_folder_is_found_there(tmp_path):
    (tmp_path / "loop.toml").write_text(f"{TASK}[backend]\nroot = '~/loop'")
    assert Config.load(tmp_path / "loop.toml").backend.root == str(Path.home() / "loop")


def test_the_bundled_config_and_json_in_the_variable_belong_to_the_working_directory(config, tmp_path, monkeypatch):
    monkeypatch.delitem(os.environ, ENVIRONMENT_VARIABLE, raising=False)
    assert load_config(None).backend.root == load_config(DEFAULT_CONFIG).backend.root == "build/loop"
    monkeypatch.setitem(os.environ, ENVIRONMENT_VARIABLE, json.dumps(GOOD | {"backend": {"root": "here"}}))
    assert load_config(None).backend.root == "here"


@pytest.mark.parametrize("path", sorted((Path(pipelines.__file__).parent / "configs").glob("*.toml")), ids=str)
def test_shipped_configs_are_valid(path):
    Config.load(path)


ENCODED = "rl_core.features"  # what is fitted at training, and no part of a config
BUILT_IN = [part for registry, _ in REGISTRIES.values() for part in registry.values()]  # which imports them


def all_sections(section: type[Section]) -> list[type[Section]]:
    return [section, *(s for child in section.__subclasses__() for s in all_sections(child))]


@pytest.mark.parametrize(
    "section",
    [
        s
        for s in all_sections(Section)
        if s is not Config and s.__module__.startswith("banditloop.") and ENCODED not in s.__module__
    ],
    ids=lambda section: section.__name__,
)
def test_every_key_of_a_section_has_a_description(section):
    undescribed = [k for k, field in section.model_fields.items() if not field.description and k != "name"]
    assert not undescribed


def test_sections_can_be_overridden(tmp_path):
    assert make_config(tmp_path, agent={"alpha": 0.5}).agent.alpha == 0.5


class Nested(Section):
    """As a part of a user's own may have: KFP passes on integers in lists and mappings as floats, too."""

    layers: list[int]
    sizes: dict[str, int]
    rates: list[float]


def test_integers_in_lists_and_mappings_are_the_same_after_travelling():
    nested = Nested(layers=[64, 2**53], sizes={"a": -3}, rates=[1, 0.5, 1e300])
    assert Nested.parse(as_pipeline_parameter(nested)) == nested
    for values in ({"layers": [1, 2**53 + 1]}, {"sizes": {"a": -(2**53) - 1}}):
        with pytest.raises(InvalidInput, match=r"mine\.(layers\.1|sizes\.a) = -?9007199254740993: give at most 2\^53"):
            Nested.parse({"layers": [], "sizes": {}, "rates": []} | values, "mine")


def test_a_config_with_episodes_learns_from_them():
    """The section comes with an environment of episodes, and the agent with the section."""
    config = Config.parse(EPISODES)
    assert (config.episodes.discount, config.agent.name) == (0.99, "dqn")
    assert Config.parse(config.to_dict()) == config
    assert Config.parse({"task": {"actions": 2}, "episodes": {}}).agent.name == "dqn"
    assert Config.parse(GOOD).episodes is None
