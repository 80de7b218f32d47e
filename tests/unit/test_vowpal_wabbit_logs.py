"""Logs in the formats of Vowpal Wabbit: decisions and rewards, and what is refused."""

import json
from datetime import UTC, datetime

import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.settings.task import Task
from tests.support.log_files import MAP, ROWS, TASK, read, write


def dsjson(**changes) -> dict:
    """A line as VW's tests have it: two users' namespaces, three actions, the second of which was chosen."""
    return {
        "_label_cost": -1.0,
        "_label_probability": 0.8,
        "_label_Action": 2,
        "_labelIndex": 1,
        "o": [{"v": 1.0, "EventId": "e1", "ActionTaken": False}],
        "Timestamp": "2020-12-08T23:25:52.1830000Z",
        "Version": "1",
        "EventId": "e1",
        "a": [2, 1, 3],
        "c": {
            "User": {"age": 31, "_id": 7},
            "Geo": {"country": "DE"},
            "_multi": [{"i": {"size": n}} for n in range(3)],
        },
        "p": [0.8, 0.1, 0.1],
        "VWState": {"m": "N/A"},
    } | changes


VW_TASK = {"actions": ["a", "b", "c"], "context": {"age": "number", "country": "category"}}


def test_dsjson_is_read_with_its_candidates_and_their_features(tmp_path):
    lines = [
        dsjson(),
        dsjson(EventId="e2", pdrop=0.5, _label_probability=0.4, _label_cost=0.0),
        dsjson(EventId="e3", _skipLearn=True),
        {"RewardValue": 1, "EventId": "e4"},
    ]
    path = write(tmp_path, "\n".join(map(json.dumps, lines)), "log.dsjson")
    task = Task.parse(VW_TASK | {"action_features": {"size": "number"}})
    decisions, rewards = read(path, task)
    first, second = decisions
    assert first["context"] == {"age": 31.0, "country": "DE"}
    assert (first["action"], first["candidates"]) == ("b", ["a", "b", "c"])
    assert first["probabilities"] == pytest.approx([0.1, 0.8, 0.1])
    assert first["candidate_features"] == [{"size": 0.0}, {"size": 1.0}, {"size": 2.0}]
    assert first["timestamp"] == datetime(2020, 12, 8, 23, 25, 52, 183_000, UTC)
    assert (second["logging_probability"], second["propensity"]) == (0.5, 0.8)
    assert [(row["event_id"], row["value"]) for row in rewards] == [("e1", 1.0), ("e2", 0.0)]
    files = LogFiles([path], Task.parse(VW_TASK))
    list(files.events())
    assert files.left_out == {"decisions that were not activated": 1, "observations without a decision": 1}


def test_actions_of_dsjson_are_their_tags_or_positions(tmp_path):
    tagged = dsjson(c={"_multi": [{"_tag": tag} for tag in ("x", "y", "z")]})
    for line, task, action in ((tagged, "open", "y"), (dsjson(), 3, "1"), (dsjson(a=[1, 0, 2]), ["a", "b", "c"], "b")):
        path = write(tmp_path, json.dumps(line), "log.dsjson")
        [decision], _ = read(path, Task.parse({"actions": task}), ignore_others=True)
        assert decision["action"] == action
        assert decision["propensity"] == pytest.approx(0.8)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("chosen", range(3))
def test_the_chosen_action_of_dsjson_is_the_first_in_a_without_a_label(tmp_path, first, chosen):
    """The numbers in a are from 0 or from 1 on."""
    others = [place for place in range(3) if place != chosen]
    line = dsjson(a=[place + first for place in [chosen, *others]])
    line = {key: value for key, value in line.items() if not key.startswith("_label")}
    [decision], _ = read(write(tmp_path, json.dumps(line), "log.dsjson"), Task.parse(VW_TASK))
    assert (decision["action"], decision["propensity"]) == ("abc"[chosen], pytest.approx(0.8))


VALUES = (None, True, 2, -0.5, 10**400, float("nan"), "2", [], [1, "2"], [{}], {}, {"v": None})


def places(value, path=()):
    """The paths to all values within objects and lists."""
    if path:
        yield path
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(each, (*path, key))


def with_value(value, path, new):
    """A copy of a value of JSON with another one at the path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = with_value(value[path[0]], path[1:], new)
    return copy


GOOD_LINES = {
    "dsjson": [dsjson(), {key: value for key, value in dsjson().items() if not key.startswith("_label")}],
    "jsonl": [
        ROWS[0]
        | {"candidates": ["a", "b"], "probabilities": [0.5, 0.5], "candidate_features": [{"size": 1.0}, {"size": 2.0}]}
        | {"episode_id": "e", "step": 0, "terminal": False, "logging_probability": 1.0}
    ],
}


@pytest.mark.parametrize("suffix", GOOD_LINES)
def test_a_value_of_any_type_at_any_key_is_read_or_refused(tmp_path, suffix):
    task = Task.parse(TASK.model_dump() | {"actions": "open", "action_features": {"size": "number"}})
    mapping = MAP if suffix == "jsonl" else []
    for line in GOOD_LINES[suffix]:
        read(write(tmp_path, json.dumps(line), f"log.{suffix}"), task, mapping, ignore_others=True)
        for path in places(line):
            for value in VALUES:
                changed = write(tmp_path, json.dumps(with_value(line, path, value)), f"log.{suffix}")
                try:
                    read(changed, task, mapping, ignore_others=True)
                except InvalidInput as error:
                    assert "\n" not in str(error)
                except BaseException as error:
                    raise AssertionError(f"{path} = {value!r:.40}") from error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"c": None}, "line 1: c = None: give an object"),
        ({"a": [1, "2", 3]}, r"line 1: a = \[1, '2', 3\]: give every number from 1 to 3 once"),
        ({"o": 5, "_label_cost": None}, "line 1: o = 5: give a list of observations"),
        ({"_label_cost": 10**400}, "line 1: _label_cost = 1000.*: give a number"),
        ({"_labelIndex": True}, "line 1: _labelIndex = True: give the position"),
        ({"_labelIndex": None, "_label_Action": 4}, "line 1: _label_Action = 4: give the position of .* from 1 on"),
        ({"_label_probability": 0.3}, "line 1: _label_probability = 0.3: p gives the chosen action 0.8"),
        ({"_labelIndex": 3}, "line 1: _labelIndex = 3: give the position of one of the 3 actions"),
        ({"p": [0.5, 0.5]}, "line 1: a and p: give a rank and a probability for each of the 3 actions"),
        ({"a": [2, 2, 3]}, r"line 1: a = \[2, 2, 3\]: give every number from 1 to 3 once"),
        ({"_label_cost": "high"}, "line 1: _label_cost = 'high': give a number"),
        ({"_outcomes": []}, "line 1: _outcomes: slates and continuous actions are not imported"),
        ({"p": [0.8, 0.5, 0.1]}, "line 1: sum of the probabilities = 1.4: must be 1"),
    ],
)
def test_a_wrong_line_of_dsjson_is_named(tmp_path, changes, message):
    with pytest.raises(InvalidInput, match=message):
        read(write(tmp_path, json.dumps(dsjson(**changes)), "log.dsjson"), Task.parse(VW_TASK))


def test_cb_text_is_read(tmp_path):
    text = "2:-1:0.25 |User age:31 |Geo country=DE\n1 2 3 | unlabelled\n1:0:0.5 |User age:4\n"
    task = Task.parse(VW_TASK | {"reward_range": [0, 1]})
    decisions, rewards = read(write(tmp_path, text, "log.txt"), task, format="cb", source="s")
    assert [row["action"] for row in decisions] == ["b", "a"]
    assert [row["context"] for row in decisions] == [{"age": 31, "country": "DE"}, {"age": 4, "country": None}]
    assert decisions[0]["probabilities"] == [0.375, 0.25, 0.375]
    assert [row["value"] for row in rewards] == [1.0, 0.0]
    with pytest.raises(InvalidInput, match="line 1: action 4: give 1 to 3"):
        read(write(tmp_path, "4:0:.5 | x", "log.txt"), task, format="cb", source="s")


def test_cb_adf_text_is_read(tmp_path):
    text = "shared |User age:31\n0:-1:0.5 |i size:1\n |i size:2\n\n |i size:3\n\n\n|i a\n0:0:0.25 |i size:5\n"
    task = Task.parse({"actions": "open", "context": {"age": "number"}, "action_features": {"size": "number"}})
    decisions, _ = read(write(tmp_path, text, "log.txt"), task, format="cb_adf", source="s", ignore_others=True)
    first, second = decisions
    assert (first["context"], first["action"], first["candidates"]) == ({"age": 31.0}, "0", ["0", "1"])
    assert first["candidate_features"] == [{"size": 1.0}, {"size": 2.0}]
    assert (second["action"], second["probabilities"]) == ("1", [0.75, 0.25])
