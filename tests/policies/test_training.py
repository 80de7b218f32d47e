"""What a training is given besides interactions: the table of actions, checked, and contexts of another shape."""

import math

import numpy as np
import pyarrow as pa
import pytest

from banditloop.rl_core.agents.bag import Bag
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.examples import write_examples
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.events import decisions
from banditloop.rl_core.training.train import batch, checked_contexts, initial_statistics, train
from banditloop.rl_core.training.training import Training, table_features
from tests.conftest import assert_same, random_interactions, vector_task

VALUES = {
    "actions": {"table": "a.csv", "id": "article"},
    "action_features": {"price": "number", "topic": "category", "tags": "categories", "h": {"vector": 2}},
}
TASK = Task.parse(VALUES)


def features(**columns):
    """The features of actions in a table of these columns."""
    return table_features(TASK, lambda name: pa.table(columns))


def test_rows_without_an_id_are_dropped_and_missing_values_are_legal():
    columns = {"price": [1, 2, None], "topic": ["x", "y", ""], "tags": [["u"], None, []], "h": [[1.0, 2.5], None, None]}
    assert features(article=[7, None, 8], **columns) == {
        "7": {"price": 1.0, "topic": "x", "tags": ["u"], "h": [1.0, 2.5]},
        "8": {"price": None, "topic": None, "tags": None, "h": None},
    }


def test_a_table_may_have_some_of_the_features_or_none():
    assert features(article=["a", "b"], title=["A", "B"]) == {}
    assert features(article=["a", "b"], price=[1, 2]) == {"a": {"price": 1.0}, "b": {"price": 2.0}}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"articles": ["a", "b"]}, "has no column 'article'; did you mean 'articles'?"),
        ({"x": ["a", "b"]}, "has no column 'article'; the table has: x"),
        ({"article": ["a", "b"], "price": [1.0, math.nan]}, "action 'b': price = nan: Input should be a finite number"),
        ({"article": ["a", "b"], "price": [-math.inf, 1.0]}, "action 'a': price = -inf: Input should be a finite"),
        ({"article": ["a", "b"], "price": [1, 1000001]}, "action 'b': price = 1000001.0: Input should be less than"),
        ({"article": ["a", "b"], "price": ["1", "dear"]}, "column price: Failed to parse string: 'dear'"),
        ({"article": ["a", "b"], "h": [[1.0, 2.0], [1.0]]}, "action 'b': h = [1.0]: List should have at least 2 items"),
        ({"article": ["a", "b"], "h": [[1.0, 2.0, 3.0], None]}, "action 'a': h = [1.0, 2.0, 3.0]: List should have at"),
        ({"article": ["a", "b"], "h": [[1.0, None], None]}, "action 'a': h.1 = None: Input should be a valid number"),
        ({"article": ["a", "b"], "topic": ["x" * 257, ""]}, "String should have at most 256 characters"),
    ],
)
def test_what_does_not_fit_the_task_is_refused_with_the_table_and_the_column(columns, message):
    with pytest.raises(InvalidInput) as error:
        features(**columns)
    assert str(error.value).startswith("task.actions.table = 'a.csv': ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_table_is_newer_than_requests_which_add_what_it_lacks(tmp_path):
    config = Config.parse({"task": VALUES, "backend": {"root": str(tmp_path)}})
    seen = {"price": 1.0, "topic": "old", "tags": ["u"], "h": None}
    logged = decisions(
        ["e1", "e2"],
        task=TASK,
        context={},
        action=["a", "gone"],
        candidates=[["a", "gone"]] * 2,
        candidate_features=[[seen, seen]] * 2,
    )
    rows = logged.append_column(interaction_schema(TASK).field("reward"), pa.array([1.0, 0.0]))
    write_examples(rows.to_batches(), tmp_path / "examples")
    table = pa.table({"article": ["a", "untried"], "price": [5, None], "topic": ["now", "now"]})
    training = Training.on_examples(config, tmp_path / "examples", None, None, lambda name: table)
    known = training.encoding.action_features
    assert known == {"gone": seen, "a": seen | {"price": 5.0, "topic": "now"}}
    assert np.isfinite(training.encoding.feature_matrix()).all()


@pytest.mark.parametrize("others", [{}, {"age": "number"}])
def test_contexts_whose_vectors_had_another_length_are_refused_with_what_to_do(others):
    before, now = (Task.parse({"actions": 2, "context": others | {"h": {"vector": n}}}) for n in (3, 4))
    logged = decisions(["e1"], task=before, context={"h": [1.0, 2.0, 3.0]})
    with pytest.raises(InvalidInput) as error:
        checked_contexts(logged, Encoding.unfitted(now).context)
    assert str(error.value) == (
        "interaction e1: context.h has 3 numbers; the task's have 4. "
        "Give a changed task its own backend.root, or rename the feature"
    )


def test_agents_are_given_ids_propensities_and_the_actions_that_could_be_chosen():
    task = Task(actions=["a", "b", "c"], context={"x": "number"})
    given = {"candidates": [["c", "a"], ["a", "left out", "b"]], "logging_probability": [1.0, 0.5]}
    logged = decisions(["e1", "e2"], task=task, context={"x": 1.0}, **given)
    table, encoding = logged.append_column("reward", pa.array([0.0, 1.0])), Encoding.unfitted(task)
    learned = batch(table, encoding, with_eligible=True)
    assert encoding.action_ids == ("a", "b", "c")
    np.testing.assert_array_equal(learned.eligible, [[True, False, True], [True, True, False]])
    np.testing.assert_array_equal(learned.propensities, [1 / 2, 1 / 3])
    np.testing.assert_array_equal(learned.sample_weight, [1.0, 2.0])
    assert learned.ids.dtype == np.uint64
    assert batch(table, encoding).eligible is None
    again = batch(table.take([1, 0]), encoding, with_eligible=True)
    for ours, theirs in zip(learned, again.take(np.array([1, 0])), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("agent", [LinUCB(), LinearThompson(), Bag(policies=2)], ids=str)
def test_sums_do_not_depend_on_the_order_of_interactions_and_files(agent):
    table, order = random_interactions(3000), np.random.default_rng(0).permutation(3000)
    config = Config(task=vector_task(20, 20), agent=agent)
    encoding = Encoding.unfitted(config.task)
    first = train(config, encoding, [table.slice(0, 500)], initial_statistics(config, encoding, None))
    ours, theirs = (train(config, encoding, [rest], first) for rest in (table, table.take(order)))
    assert_same(ours, theirs)
