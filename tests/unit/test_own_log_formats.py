"""Logs of other systems as decisions and rewards: every format, identities, and what is refused."""

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.logs.columns import parse_mapping
from banditloop.rl_core.logs.events import interactions
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.settings.task import Task
from tests.support.log_files import MAP, NUMBERED, ROWS, TASK, read, write


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
