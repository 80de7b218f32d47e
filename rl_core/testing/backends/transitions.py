"""The contract suite of transitions: what came next, rewards and metrics, folds."""

from typing import Any

import pyarrow as pa
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.holdout import Fold, is_held_out
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.backends.fixtures import BackendFixtures, Configure
from banditloop.rl_core.testing.backends.timeline import episodic, steps, timeline
from banditloop.rl_core.testing.backends.warehouse import LONG_AGO
from banditloop.rl_core.testing.events import TASK, rewards

REAGENT = Task.parse(
    {"actions": ["action1", "action2"], "reward_range": [0, 10], "context": {"f1": "number", "f2": "number"}}, "task"
)

FEATURES = Task.parse(
    {
        "actions": "open",
        "context": {"age": "number", "tags": "categories", "history": {"vector": 2}},
        "action_features": {"price": "number", "topics": "categories"},
    },
    "task",
)


class TransitionContract(BackendFixtures):
    """Checks of the port Warehouse: the columns of transitions."""

    def test_the_timeline_of_reagents_own_rows(self, configure: Configure) -> None:
        """TimelineTest.scala: two rows of one mdp_id, sequence numbers 1 and 11."""
        warehouse = episodic(configure, REAGENT, metrics=["Widgets"])
        widgets = [rewards(["a"], 10.0, name="Widgets"), rewards(["b"], 20.0, name="Widgets")]
        warehouse.append("rewards", pa.concat_tables([rewards(["a"], 1.0), rewards(["b"], 0.2), *widgets]))
        rows: dict[str, Any] = {
            "context": [{"f1": 1.0}, {"f2": 1.0}],
            "candidates": [["action1", "action2"], ["action2"]],
            "action": ["action1", "action2"],
            "propensity": [0.8, 1.0],
            "probabilities": [[0.8, 0.2], [1.0]],
            "terminal": [False, True],
        }
        warehouse.append("decisions", steps(["a", "b"], "mdp", [1, 11], task=REAGENT, **rows))
        first, last = timeline(warehouse, REAGENT, ["Widgets"])
        assert first["context"] == {"f1": 1.0, "f2": None}
        assert first | {"action": "action1", "propensity": 0.8, "reward": 1.0, "metrics": {"Widgets": 10.0}} == first
        assert first | {"ordinal": 0, "steps_to_next": 10, "steps_since_first": 0, "step": 1} == first
        assert first | {"next_context": {"f1": None, "f2": 1.0}, "next_action": "action2"} == first
        assert first | {"next_candidates": ["action2"], "terminal": False, "truncated": False} == first
        assert last | {"ordinal": 1, "steps_to_next": 0, "steps_since_first": 10, "reward": 0.2} == last
        assert last | {"next_context": None, "next_action": None, "next_candidates": []} == last
        assert last | {"terminal": True, "truncated": False, "next_candidate_features": []} == last

    def test_features_of_every_kind_are_those_of_the_next_decision(self, configure: Configure) -> None:
        warehouse = episodic(configure, FEATURES)
        contexts = [{"age": 1.5, "tags": ["a"], "history": [0.5, 1.0]}, {"age": None, "tags": [], "history": []}]
        offers = [[{"price": 1.0, "topics": ["x"]}, {"price": None, "topics": []}], [{"price": 2.0, "topics": ["y"]}]]
        asked: dict[str, Any] = {"candidates": [["p", "q"], ["r"]], "candidate_features": offers, "context": contexts}
        warehouse.append("decisions", steps(["a0", "a1"], "a", [0, 1], task=FEATURES, terminal=[False, True], **asked))
        first, last = timeline(warehouse, FEATURES)
        assert [first["context"], first["next_context"]] == contexts == [first["context"], last["context"]]
        assert [first["candidate_features"], first["next_candidate_features"]] == offers
        assert (first["next_candidates"], first["next_action"]) == (["r"], "r")
        assert (last["next_context"], last["next_candidates"], last["next_candidate_features"]) == (None, [], [])

    def test_the_folds_hold_whole_episodes_by_the_hash_of_their_id(self, configure: Configure) -> None:
        warehouse = episodic(configure, gate={"holdout_fraction": 0.2})
        episodes = [f"episode-{number}" for number in range(200) for _ in range(2)]
        ids = [str(row) for row in range(400)]
        warehouse.append("decisions", steps(ids, episodes, [0, 1] * 200, terminal=[False, True] * 200))
        held_out = {name for name in episodes if is_held_out(name, 0.2)}
        assert 20 <= len(held_out) <= 60
        folds: dict[Fold, set[str]] = {"held_out": held_out, "training": set(episodes) - held_out}
        for fold, expected in folds.items():
            rows = timeline(warehouse, fold=fold)
            assert {row["episode_id"] for row in rows} == expected
            assert len(rows) == 2 * len(expected)

    def test_the_reward_of_a_step_is_the_weighted_sum_of_named_rewards(self, configure: Configure) -> None:
        reward = {"aggregation": "max", "default": 0.5}
        sections: dict[str, Any] = {"rewards": {"clicks": 2.0, "cost": -1.0}, "metrics": ["cost", "time"]}
        warehouse = episodic(configure, reward=reward, **sections)
        earned = [
            ("a0", "clicks", 3.0, "x"),
            ("a0", "clicks", 2.0, "y"),
            ("a0", "cost", 1.0, ""),
            ("a1", "time", 7.0, ""),
        ]
        events = [rewards([id_], value, name=name, source_id=source) for id_, name, value, source in earned]
        warehouse.append("rewards", pa.concat_tables(events))
        warehouse.append("decisions", steps(["a0", "a1"], "a", [0, 1], terminal=[False, True]))
        first, last = timeline(warehouse, metrics=["cost", "time"])
        assert (first["reward"], first["metrics"]) == (5.0, {"cost": 1.0, "time": None})
        assert (last["reward"], last["metrics"]) == (0.5, {"cost": None, "time": 7.0})
        counts = warehouse.event_counts()
        assert (counts.joined, counts.unnamed) == (4, 0)

    def test_a_log_without_the_section_episodes_has_no_timeline(self, configure: Configure) -> None:
        warehouse = connect(configure(task=TASK.model_dump())).warehouse
        with pytest.raises(InvalidInput, match="episodes: the config has no section"):
            list(warehouse.transitions(Window(until=LONG_AGO, interactions=0)))
