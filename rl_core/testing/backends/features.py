"""The contract suite of the warehouse's features: typed, missing, gained and lost ones, candidates, episodes."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.ports import Warehouse
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.backends.fixtures import BackendFixtures, Configure
from banditloop.rl_core.testing.events import decisions

Features = Mapping[str, Any]
CONTEXT: Features = {
    "age": "number",
    "member": "boolean",
    "country": "category",
    "order": ["first", "next"],  # SQL's own words are names too
    "interests": "categories",
    "history": {"vector": 2},
}
ACTION_FEATURES: Features = {"price": "number", "topics": "categories"}
VALUES: Features = {
    "age": 30.5,
    "member": False,
    "country": 'ü\'s "x"',
    "order": "next",
    "interests": ["a", "b"],
    "history": [0.5, -1.0],
}
MISSING: Features = {"age": None, "member": None, "country": None, "order": None, "interests": [], "history": []}


class FeatureContract(BackendFixtures):
    """Checks of the port Warehouse: features by name and kind, which the task may gain and lose."""

    def test_features_of_every_kind_are_read_as_they_were_logged(self, configure: Configure) -> None:
        task, warehouse = _connect(configure, CONTEXT, ACTION_FEATURES)
        offers = [{"price": 1.5, "topics": ["x", "y"]}, {"price": None, "topics": []}]
        row = {"candidates": [["a", "b"]], "candidate_features": [offers], "action": "b", "assignment_share": 0.25}
        episode = {"episode_id": "e", "step": 3, "terminal": False, "truncated": True, "slate_id": "s", "slot": 1}
        warehouse.append("decisions", decisions(["a"], "v", None, "simulated", task, VALUES, **row, **episode))
        [stored] = _read(warehouse, task)
        expected = {name: value[0] if isinstance(value, list) else value for name, value in row.items()}
        assert stored | {"context": VALUES} | expected | episode == stored

    def test_missing_features_and_empty_lists_are_the_same(self, configure: Configure) -> None:
        task, warehouse = _connect(configure, CONTEXT, ACTION_FEATURES)
        for event_id, context in (("a", {}), ("b", {"interests": [], "history": []}), ("c", MISSING)):
            offers = [[{"price": 1.0}, {"topics": []}]]
            fields = {"candidates": [["x", "y"]], "candidate_features": offers}
            warehouse.append("decisions", decisions([event_id], "v", None, "simulated", task, context, **fields))
        rows = _read(warehouse, task)
        assert [row["context"] for row in rows] == [MISSING] * 3
        expected = [{"price": 1.0, "topics": []}, {"price": None, "topics": []}]
        assert [row["candidate_features"] for row in rows] == [expected] * 3
        optional = "assignment_share", "episode_id", "step", "terminal", "truncated", "slate_id", "slot"
        assert {row[name] for row in rows for name in optional} == {None}

    def test_a_task_without_features_has_empty_contexts(self, configure: Configure) -> None:
        task, warehouse = _connect(configure, {}, {})
        warehouse.append("decisions", decisions(["a"], task=task, mode="simulated", context={}, candidates=[["0"]]))
        [row] = _read(warehouse, task)
        assert set(row["context"].values()) == {None}
        assert row["candidates"] == ["0"]

    def test_rows_stay_readable_when_the_task_gains_and_loses_features(self, configure: Configure) -> None:
        tasks: list[tuple[Features, Features]] = [
            ({"age": "number", "interests": "categories"}, {"price": "number"}),
            (
                {"country": "category", "age": "number", "history": {"vector": 2}},
                {"price": "number", "topics": "categories"},
            ),
            ({"age": "number", "interests": "categories"}, {"topics": "categories"}),
        ]
        for number, (context, action_features) in enumerate(tasks):
            task, warehouse = _connect(configure, context, action_features)
            offer = {name: {"price": 1.5, "topics": ["x"]}[name] for name in action_features}
            values = {name: VALUES[name] for name in context}
            fields: dict[str, Any] = {"candidates": [["x"]], "candidate_features": [[offer]], "context": values}
            assert warehouse.append("decisions", decisions([str(number)], task=task, mode="simulated", **fields)) == 1
            assert warehouse.append("decisions", decisions([str(number)], task=task, mode="simulated", **fields)) == 0
        everything = {name: VALUES[name] for name in ("age", "interests", "country", "history")}
        for context, action_features in tasks:
            task, warehouse = _connect(configure, context, action_features)
            rows = _read(warehouse, task)
            for row, (logged, logged_offer) in zip(rows, tasks, strict=True):
                known = {name: everything[name] if name in logged else MISSING[name] for name in context}
                offer = {
                    "price": 1.5 if "price" in logged_offer else None,
                    "topics": ["x"] * ("topics" in logged_offer),
                }
                assert row["context"] == known
                assert row["candidate_features"] == [{name: offer[name] for name in action_features}]
            assert warehouse.window(None).interactions == len(tasks)
        assert [row["interactions"] for row in warehouse.policy_totals()] == [len(tasks)]

    def test_many_small_appends_with_changing_features_survive_compaction(
        self, configure: Configure, compacting: None
    ) -> None:
        for first, features in ((0, {"age": "number"}), (60, {"history": {"vector": 2}})):
            context = {name: VALUES[name] for name in features}
            task, warehouse = _connect(configure, features, {})
            for number in range(first, first + 60):
                warehouse.append("decisions", decisions([f"{number:03}"], task=task, mode="simulated", context=context))
        assert warehouse.append("decisions", decisions([f"{n:03}" for n in range(120)], task=task, context={})) == 0
        task, warehouse = _connect(configure, {"age": "number", "history": {"vector": 2}}, {})
        contexts = [row["context"] for row in _read(warehouse, task)]
        assert contexts == [{"age": 30.5, "history": []}] * 60 + [{"age": None, "history": [0.5, -1.0]}] * 60

    @pytest.mark.parametrize(
        ("context", "action_features", "message"),
        [
            ({"age": "category"}, {}, r"task\.context\.age: is stored as number; the task says category: rename"),
            (
                {"interests": {"vector": 2}},
                {},
                r"task\.context\.interests: is stored as categories; the task says vector",
            ),
            ({"member": "number"}, {}, r"task\.context\.member: is stored as boolean; the task says number"),
            ({"Age": "number"}, {}, r"task\.context\.Age: is stored as age, and SQL does not distinguish them"),
            ({}, {"price": "boolean"}, r"task\.action_features\.price: is stored as number; the task says boolean"),
        ],
    )
    def test_another_kind_of_a_feature_is_refused_before_anything_is_written(
        self, configure: Configure, context: Features, action_features: Features, message: str
    ) -> None:
        task, warehouse = _connect(configure, CONTEXT, ACTION_FEATURES)
        warehouse.append("decisions", decisions(["a"], task=task, mode="simulated", context=VALUES))
        other, refusing = _connect(configure, {**context, "new": "number"}, action_features)
        with pytest.raises(InvalidInput, match=message):
            refusing.append("decisions", decisions(["b"], task=other, mode="simulated", context={}))
        for use in (lambda: refusing.window(None), refusing.policy_totals, refusing.event_counts):
            with pytest.raises(InvalidInput, match=message):
                use()
        assert [row["event_id"] for row in _read(warehouse, task)] == ["a"]

    def test_a_closed_list_may_become_an_open_category(self, configure: Configure) -> None:
        task, warehouse = _connect(configure, {"order": ["first", "next"]}, {})
        warehouse.append("decisions", decisions(["a"], task=task, mode="simulated", context={"order": "next"}))
        task, warehouse = _connect(configure, {"order": "category"}, {})
        assert [row["context"] for row in _read(warehouse, task)] == [{"order": "next"}]


def _connect(configure: Configure, context: Features, action_features: Features) -> tuple[Task, Warehouse]:
    """A task with these features, and its warehouse."""
    values = {"actions": "open", "context": context, "action_features": action_features}
    return Task.parse(values, "task"), connect(configure(task=values)).warehouse


def _read(warehouse: Warehouse, task: Task) -> list[dict[str, Any]]:
    """All interactions, in the order of their ids."""
    batches = warehouse.interactions(warehouse.window(None))
    rows: list[dict[str, Any]] = (
        pa.Table.from_batches(batches, interaction_schema(task)).sort_by("event_id").to_pylist()
    )
    return rows
