"""The task section: what it accepts, and that everything else is refused in one line that says what is right."""

import re
import time

import pyarrow as pa
import pytest

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput, nearest
from banditloop.rl_core.settings.task import BIGQUERY_TABLE, Task
from banditloop.rl_core.testing.sections import as_pipeline_parameter

WHOLE = {
    "actions": ["a", "b"],
    "reward_range": [-1, 2.5],
    "context": {
        "age": "number",
        "device": ["x", "y"],
        "tags": "categories",
        "history": {"vector": 20},
        "ok": "boolean",
    },
    "action_features": {"topic": "category"},
}


@pytest.mark.parametrize(
    "values", [WHOLE, {}, {"actions": 3}, {"actions": {"table": "gs://b/t.csv", "id": "a"}}, {"actions": "open"}]
)
def test_a_task_is_the_same_after_travelling_as_a_pipeline_parameter(values):
    task = Task.parse(values, "task")
    assert Task.parse(as_pipeline_parameter(task), "task") == task


def test_types_ids_and_range_follow_from_the_task():
    task = Task.parse(WHOLE)
    assert task.context_type == pa.struct(
        {
            "age": pa.float64(),
            "device": pa.string(),
            "tags": pa.list_(pa.string()),
            "history": pa.list_(pa.float32()),
            "ok": pa.bool_(),
        }
    )
    assert (task.action_ids, task.numbered, task.plain, task.rewards.span) == (("a", "b"), False, None, 3.5)
    numbered = Task.parse({"actions": 3, "context": {"x": {"vector": 2}}})
    assert (numbered.action_ids, numbered.numbered, numbered.plain) == (("0", "1", "2"), True, "x")
    assert Task.parse({}).action_ids is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"actions": 1}, "task.actions = 1: give a number from 2"),
        ({"actions": True}, "task.actions = True: give a number of actions, a list of their ids"),
        ({"actions": 2.5}, "task.actions = 2.5: give a number of actions"),
        ({"actions": "closed"}, "task.actions = 'closed': give a number of actions"),
        ({"actions": ["a"]}, "give at least two actions"),
        ({"actions": ["a", "a"]}, "the action 'a' occurs twice"),
        ({"actions": ["a", 1]}, "each a text"),
        ({"actions": {"tabel": "x"}}, "task.actions.table: Field required"),
        ({"reward_range": [1, 1]}, "give the smallest and the largest reward"),
        ({"reward_range": [0]}, "give the smallest and the largest reward"),
        ({"context": {"age": "numbre"}}, "task.context.age = 'numbre': is not a kind of feature: give 'number'"),
        ({"context": {"age": []}}, "task.context.age = []: is not a kind"),
        ({"context": {"age": ["x", "x"]}}, "a category occurs twice"),
        ({"context": {"age": {"vector": 0}}}, "task.context.age.vector = 0"),
        ({"context": {"my age": "number"}}, "my age"),
        ({"context": {"Age": "number", "age": "number"}}, "SQL does not distinguish them"),
        ({"contexts": {}}, "task.contexts"),
    ],
)
def test_whatever_is_no_task_is_refused_in_one_line(values, message):
    with pytest.raises(InvalidInput) as error:
        Task.parse(values, "task")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "task: is missing; say what is decided, or name an environment"),
        ({"task": {}, "reward": {"default": 2.0}}, "reward.default = 2.0: is outside task.reward_range, 0 to 1"),
        ({"task": {}, "reward": {"default": "none"}}, "reward.default"),
    ],
)
def test_a_config_needs_a_task_and_a_default_reward_in_its_range(values, message):
    with pytest.raises(InvalidInput, match=message):
        Config.parse(values)


def test_a_config_is_its_task_and_defaults():
    config = Config.parse({"task": {"actions": ["a", "b"]}, "reward": {"default": "ignore"}})
    assert config.environment is None
    assert Config.parse(config.to_dict()) == config


def test_a_task_that_contradicts_its_environment_is_refused(tmp_path):
    path = tmp_path / "loop.toml"
    task = "[task]\nactions = 7\ncontext = {observation = {vector = 20}}\n"
    path.write_text(f'environment = {{name = "movielens"}}\n{task}')
    with pytest.raises(InvalidInput, match=r"task\.actions: contradicts that of the environment 'movielens'; omit it"):
        Config.load(path)
    path.write_text(path.read_text().replace("7", "20") + "reward_range = [0, 10]\n")
    assert Config.load(path).task.reward_range == [0, 10]


@pytest.mark.parametrize(
    ("name", "is_table"),
    [
        ("my-project.shop.articles", True),
        ("my-project.shop_2.new-articles_3", True),
        ("example.com:my-project.shop.articles", True),
        ("my-project.shop.csv", False),
        ("my.new.parquet", False),
        ("articles.csv", False),
        ("shop.articles", False),
        ("gs://bucket/my.new.articles", False),
        ("./my-project.shop.articles", False),
    ],
)
def test_a_table_of_bigquery_is_no_path(name, is_table, tmp_path):
    assert bool(re.fullmatch(BIGQUERY_TABLE, name)) == is_table
    path = tmp_path / "loop.toml"
    path.write_text(f'task.actions = {{table = "{name}"}}')
    is_path = not is_table and "://" not in name
    assert Config.load(path).task.actions.table == (str(tmp_path / name) if is_path else name)


@pytest.mark.parametrize(
    ("name", "names", "hint"),
    [
        ("agee", ["age", "country"], "did you mean 'age'?"),
        ("y", ["x", "d", "c"], "the task has: x, d, c"),
        ("y", [], "the task has none"),
        ("y", map(str, range(21)), f"the task has: {', '.join(map(str, range(20)))}, …"),
    ],
)
def test_the_nearest_name_is_a_hint(name, names, hint):
    assert nearest(name, names) == hint


def test_a_hint_among_a_million_names_is_fast():
    names = {f"article {number}": number for number in range(1_000_000)}
    start = time.process_time()
    assert nearest("sport", names).startswith("the task has: article 0, article 1, ")
    assert time.process_time() - start < 0.1
