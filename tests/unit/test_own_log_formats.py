"""Logs of other systems as decisions and rewards: every format, identities, and what is refused."""

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import decision_schema, interaction_schema
from banditloop.rl_core.logs.columns import parse_mapping
from banditloop.rl_core.logs.events import interactions
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.settings.task import Task

TASK = Task.parse(
    {
        "actions": ["a", "b", "c"],
        "context": {"age": "number", "member": "boolean", "country": "category", "tags": "categories"}
        | {"device": ["phone", "tablet"], "x": {"vector": 2}},
    }
)
ROWS = [
    {"id": 9007199254740993, "when": "2026-01-31T12:00:00Z", "arm": "a", "clicked": 1, "p": 0.5, "age": 31.5}
    | {"member": True, "country": "NA", "tags": ["u", "v"], "device": "phone", "x": [1.0, 2.0]},
    {"id": 9007199254740992, "when": "2026-01-31T12:00:01.5Z", "arm": "c", "clicked": None, "p": 0.25, "age": None}
    | {"member": None, "country": None, "tags": None, "device": None, "x": None},
]
MAP = ["event_id=id", "timestamp=when", "action=arm", "reward=clicked", "propensity=p"]


def read(path, task=TASK, mapping=(), format="", ignore_others=False, **arguments):
    """Decisions and rewards of a file as rows."""
    files = LogFiles([path], task, parse_mapping(mapping), format, ignore_others)
    events = list(files.events(**arguments))
    decisions = pa.concat_tables([each.decisions for each in events])
    assert decisions.schema.equals(decision_schema(task))
    return decisions.to_pylist(), pa.concat_tables([each.rewards for each in events]).to_pylist()


def write(tmp_path, text: str, name: str = "log.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.fixture(params=["csv", "parquet", "jsonl"])
def file(request, tmp_path):
    path = tmp_path / f"log.{request.param}"
    if request.param == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif request.param == "jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)))
    else:
        cells = [
            ["" if v is None else json.dumps(v) if isinstance(v, list) else str(v) for v in r.values()] for r in ROWS
        ]
        quoted = [",".join('"' + cell.replace('"', '""') + '"' if cell else "" for cell in row) for row in cells]
        path.write_text("\n".join([",".join(ROWS[0]), *quoted]))
    return path


def test_every_kind_of_column_is_read_alike_from_every_kind_of_file(file):
    decisions, rewards = read(file, mapping=MAP)
    first, second = decisions
    assert [row["event_id"] for row in decisions] == ["9007199254740993", "9007199254740992"]
    assert second["timestamp"] == datetime(2026, 1, 31, 12, 0, 1, 500_000, UTC)
    assert first["context"] == {key: ROWS[0][key] for key in first["context"]}
    assert set(second["context"].values()) == {None}
    assert (first["action"], first["propensity"], first["candidates"]) == ("a", 0.5, ["a", "b", "c"])
    assert first["probabilities"] == [0.5, 0.25, 0.25]
    assert second["probabilities"] == [0.375, 0.375, 0.25]
    assert {row["mode"] for row in decisions} == {"external"}
    assert [(row["event_id"], row["value"]) for row in rewards] == [("9007199254740993", 1.0)]


def test_interactions_have_the_default_reward_or_are_left_out(file):
    files = LogFiles([file], TASK, parse_mapping(MAP))
    for default, expected in ((0.0, [1.0, 0.0]), (None, [1.0])):
        batches = list(interactions(files.events(), TASK, default))
        assert all(batch.schema.equals(interaction_schema(TASK)) for batch in batches)
        assert [reward for batch in batches for reward in batch["reward"].to_pylist()] == expected


NUMBERED = Task.parse({"actions": 2, "context": {}})


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1769860800", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("1769860800500", datetime(2026, 1, 31, 12, 0, 0, 500_000, UTC)),
        ("2026-01-31 12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00+00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 06:30:00.25-05:30", datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)),
        ("2026-01-31 14:00:00+02", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("20260131", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T13:00:00.1234567+01:00", datetime(2026, 1, 31, 12, 0, 0, 123_456, UTC)),
    ],
)
def test_times_are_read_in_every_usual_form(tmp_path, time, expected):
    path = write(tmp_path, f"event_id,timestamp,action,reward,propensity\nx,{time},0,1,.5\n")
    [decision], _ = read(path, NUMBERED)
    assert decision["timestamp"] == expected


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("scale", [1, 1.0])
def test_numbers_that_are_dates_are_read_as_dates(tmp_path, suffix, scale):
    """As seconds, they would be of the summer of 1970. A float is what pandas makes of them beside missing values."""
    days = np.datetime64("1970-01-02") + np.random.default_rng(0).integers(0, 47_000, 200)
    whole = [int(str(day).replace("-", "")) for day in days]
    table = {"event_id": list(map(str, range(200))), "ds": [number * scale for number in whole], "action": [0] * 200}
    table |= {"reward": [1.0] * 200, "propensity": [0.5] * 200}
    write_table = pa.csv.write_csv if suffix == "csv" else pa.parquet.write_table
    write_table(pa.table(table), tmp_path / f"log.{suffix}")
    decisions, _ = read(tmp_path / f"log.{suffix}", NUMBERED, ["timestamp=ds"])
    assert [str(decision["timestamp"].date()) for decision in decisions] == list(map(str, days))


@pytest.mark.parametrize(
    ("times", "row", "message"),
    [
        (["20240131", "20240230"], 2, "'20240230': give a time, .* other rows are dates YYYYMMDD"),
        (["20240131", "1769860800"], 2, "'1769860800': give a time, .* other rows are dates YYYYMMDD"),
        (["20240131.5", "20240131"], 1, "'20240131.5': give a time, .* other rows are dates YYYYMMDD"),
        (["19690131", "20240131"], 1, "'19690131': give a time"),
        (["20240131", "2024-01-31"], 1, "'20240131': give a time"),
        (["2026-01-31 12:00:00+00", "2026-01-31 12:00:00"], 2, ".* all with a time zone, or none"),
        (["2026-01-31 12:00:00", "2026-01-31 12:00:00+00"], 2, ".* all with a time zone, or none"),
        (["2026-01-31", "2026-01-31T12:00:00Z"], 2, ".* all with a time zone, or none"),
        (["2026-01-31T12:00:00Z", "2026-01-31"], 2, ".* all with a time zone, or none"),
    ],
)
def test_times_of_several_forms_in_a_column_are_refused(tmp_path, times, row, message):
    rows = "".join(f"{number},{time},0,1,.5\n" for number, time in enumerate(times))
    path = write(tmp_path, f"event_id,timestamp,action,reward,propensity\n{rows}")
    with pytest.raises(InvalidInput, match=f"row {row}: timestamp = {message}"):
        read(path, NUMBERED)


def test_probabilities_of_all_actions_come_as_a_list_or_in_columns(tmp_path):
    listed = write(tmp_path, 'event_id,action,reward,probabilities\nx,b,1,"[0.2, 0.3, 0.5]"\n')
    columns = write(tmp_path, "event_id,action,reward,p_c,p_a,p_b\nx,b,1,.5,.2,.3\n", "columns.csv")
    task = Task.parse({"actions": ["a", "b", "c"]})
    for path, mapping in ((listed, []), (columns, ["probabilities=p_*"])):
        [decision], _ = read(path, task, mapping)
        assert (decision["probabilities"], decision["propensity"]) == ([0.2, 0.3, 0.5], 0.3)


@pytest.mark.parametrize("cell", ["", "n/a", "none of these", "7"])
def test_probabilities_of_actions_that_are_no_candidates_are_not_read(tmp_path, cell):
    head = "event_id,action,reward,p_c,p_a,p_b,candidates\n"
    path = write(tmp_path, head + f'x,b,1,{cell},.4,.6,"[""b"", ""a""]"\ny,c,1,.5,{cell},.5,"[""b"", ""c""]"\n')
    task = Task.parse({"actions": "open"})
    first, second = read(path, task, ["probabilities=p_*"])[0]
    assert (first["probabilities"], second["probabilities"]) == ([0.6, 0.4], [0.5, 0.5])
    with pytest.raises(InvalidInput, match=r"row 2: p_b = .*: give a probability from 0 to 1"):
        broken = head + f'x,b,1,,.4,.6,"[""b"", ""a""]"\ny,c,1,.5,,{cell},"[""b"", ""c""]"\n'
        read(write(tmp_path, broken), task, ["probabilities=p_*"])


def test_candidates_of_each_row_come_as_a_list(tmp_path):
    path = write(tmp_path, 'event_id,action,reward,p,candidates\nx,b,1,.5,"[""b"", ""z""]"\ny,7,1,1,[7]\n')
    first, second = read(path, Task.parse({"actions": "open"}))[0]
    assert (first["candidates"], first["probabilities"]) == (["b", "z"], [0.5, 0.5])
    assert (second["candidates"], second["probabilities"]) == (["7"], [1.0])


def test_a_vector_comes_in_numbered_columns(tmp_path):
    path = write(tmp_path, "event_id,action,reward,p,user-x_0,user-x_1\nx,1,1,.5,3,4\ny,1,1,.5,,\n")
    kinds = {"user_x": {"vector": 2}, "age": "number"}
    first, second = read(path, Task.parse({"actions": 2, "context": kinds}))[0]
    assert (first["context"]["user_x"], second["context"]["user_x"]) == ([3.0, 4.0], None)
    with pytest.raises(InvalidInput, match=r"row 2: event y: context\.user_x: has 0 numbers; the task's have 2"):
        read(path, Task.parse({"actions": 2, "context": {"user_x": {"vector": 2}}}))  # which is the whole observation


def test_equal_rows_without_ids_are_kept_apart_and_reading_again_gives_the_same_ids(tmp_path):
    path = write(tmp_path, "action,reward,propensity\n" + "1,1,.5\n0,0,.5\n1,1,.5\n")
    once, again, other = ([row["event_id"] for row in read(path, NUMBERED, source=name)[0]] for name in "ssr")
    assert once == again
    assert len({*once, *other}) == 6
    longer = write(tmp_path, "action,reward,propensity\n0,0,.5\n1,1,.5\n1,1,.5\n1,1,.5\n", "longer.csv")
    assert len({row["event_id"] for row in read(longer, NUMBERED, source="s")[0]} - set(once)) == 1
    with pytest.raises(InvalidInput, match="no column has ids: --map event_id=COLUMN, or name this piece"):
        read(path, NUMBERED)


def test_equal_rows_are_kept_apart_across_batches_and_files(tmp_path):
    path = write(tmp_path, "action,reward,propensity\n" + "1,1,.5\n" * 25_000)
    second = write(tmp_path, "action,reward,propensity\n" + "1,1,.5\n" * 10, "second.csv")
    events = LogFiles([path, second], NUMBERED).events(source="s")
    assert len({id for each in events for id in each.decisions["event_id"].to_pylist()}) == 25_010


def test_without_a_propensity_the_user_tells_how_actions_were_chosen(tmp_path):
    path = write(tmp_path, "event_id,action,reward\nx,1,1\n")
    for policy, probabilities in (("uniform", [0.5, 0.5]), ("unknown", [0.0, 1.0])):
        [decision], _ = read(path, NUMBERED, logging_policy=policy)
        assert decision["probabilities"] == probabilities
    with pytest.raises(InvalidInput, match="no column has the propensity: --map propensity=COLUMN, or tell by"):
        read(path, NUMBERED)


def test_columns_that_are_neither_mapped_nor_features_are_left_out_only_if_told(tmp_path):
    path = write(tmp_path, "event_id,action,reward,propensity,ages,zip\nx,a,1,.5,3,4\n")
    with pytest.raises(InvalidInput, match=r"columns ages, zip: are neither .* \(ages: did you mean 'age'\?\)"):
        read(path)
    files = LogFiles([path], TASK, ignore_others=True)
    assert [each.decisions["context"][0]["age"].as_py() for each in files.events()] == [None]
    assert (files.others, files.absent) == ({"ages", "zip"}, set(TASK.context))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,2026-01-31,d,1,.5", r"row 2: action = 'd': is none of the actions a, b, c"),
        ("x,2026-01-31,,1,.5", r"row 2: action = None: give the id of the chosen action"),
        ("x,2026-01-31,a,2,.5", r"row 2: reward = '2': is outside task.reward_range, 0 to 1"),
        ("x,2026-01-31,a,inf,.5", r"row 2: reward = 'inf': give a number from -1,000,000 to 1,000,000"),
        ("x,2026-01-31,a,yes,.5", r"row 2: reward = 'yes': give a number"),
        ("x,2026-01-31,a,1,0", r"row 2: propensity = '0': give a probability above 0 and at most 1"),
        ("x,2026-01-31,a,1,", r"row 2: propensity = None: give a probability above 0 and at most 1"),
        ("x,2026-01-31,a,1,1.5", r"row 2: propensity = '1.5': give a probability above 0 and at most 1"),
        ("x,soon,a,1,.5", r"row 2: timestamp = 'soon': give a time, as 2026"),
        (",2026-01-31,a,1,.5", r"row 2: event_id = None: give the id of the decision"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, message):
    path = write(tmp_path, f"event_id,timestamp,action,reward,propensity\nw,2026-01-31,a,1,.5\n{row}\n")
    with pytest.raises(InvalidInput, match=message):
        read(path)


@pytest.mark.parametrize(
    ("kind", "cell", "message"),
    [
        ("number", "x", "age = 'x': give a number"),
        ("boolean", "maybe", "age = 'maybe': give true or false"),
        (["phone"], "fax", "age = 'fax': give one of: phone"),
        ({"vector": 2}, "[1]", r"age = '\[1\]': give a list of 2 numbers"),
        ("categories", "x", "age = 'x': give a list of texts"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path, kind, cell, message):
    path = write(tmp_path, f"event_id,action,reward,propensity,age\nx,1,1,.5,\ny,1,1,.5,{cell}\n")
    with pytest.raises(InvalidInput, match=f"row 2: {message}"):
        read(path, Task.parse({"actions": 2, "context": {"age": kind}}))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (["action"], "--map 'action': give NAME=COLUMN, as action=arm"),
        (["action=arm", "action=x"], "--map 'action=x': action has 'arm' already"),
        (["acton=arm"], r"mapping acton=arm: is neither a field .*; did you mean 'action'\?"),
        (["action=am"], r"mapping action=am: the log has no such column; did you mean 'arm'\?"),
    ],
)
def test_a_wrong_mapping_is_named(tmp_path, mapping, message):
    with pytest.raises(InvalidInput, match=message):
        read(write(tmp_path, "arm,reward\na,1\n"), mapping=mapping)


def test_features_in_objects_and_structs_are_found_by_their_last_name(tmp_path):
    row = {"event_id": "x", "action": "a", "reward": 1, "p": 0.5, "context": {"age": 3, "country": "DE"}}
    pa.parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "log.parquet")
    mixed = [row, row | {"event_id": "y", "context": {"age": "4", "country": float("nan")}}]
    write(tmp_path, "\n".join(map(json.dumps, mixed)), "log.jsonl")
    for name, ages in (("log.parquet", [3.0]), ("log.jsonl", [3.0, 4.0])):
        decisions, _ = read(tmp_path / name)
        assert [decision["context"]["age"] for decision in decisions] == ages
        assert [decision["context"]["country"] for decision in decisions] == ["DE", None][: len(ages)]


def test_csv_comes_with_any_separator_marks_and_quotes(tmp_path):
    text = '\ufeffevent_id;action;reward;p;country\r\n007;a;1;0.5;"D;E"\r\n'
    [decision], _ = read(write(tmp_path, text))
    assert (decision["event_id"], decision["context"]["country"]) == ("007", "D;E")


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


def test_a_million_rows_are_read_in_batches(tmp_path):
    """Here 60,000: no batch has more than 10,000 rows, whatever the size of the file."""
    path = tmp_path / "log.parquet"
    columns = {"action": np.arange(60_000) % 2, "reward": np.zeros(60_000), "propensity": np.full(60_000, 0.5)}
    pa.parquet.write_table(pa.table(columns), path)
    sizes = [each.decisions.num_rows for each in LogFiles([path], NUMBERED).events(source="s")]
    assert (max(sizes), sum(sizes)) == (10_000, 60_000)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.xlsx", "", "its format is not known by its name; give --format: csv, parquet"),
        ("log.csv", "action,reward\n", "has no decisions"),
        ("log.jsonl", "{", "line 1: is no JSON"),
        ("log.jsonl", "[1]", r"line 1: \[1\] is no JSON object"),
        ("log.parquet", "x", "log.parquet: "),
        ("log.csv", "a,a\n1,2\n", "has several columns 'a'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, message):
    with pytest.raises(InvalidInput, match=message):
        read(write(tmp_path, content, name))
