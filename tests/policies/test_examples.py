"""Interactions survive a round trip through TFRecord files."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events import examples, parsed_examples
from banditloop.rl_core.events.actions_seen import FILE
from banditloop.rl_core.events.example_layout import columns
from banditloop.rl_core.events.example_message import Example
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.events.tfrecords import read_records, write_records
from banditloop.rl_core.settings.task import Task
from tests.conftest import EVERY_KIND, START, random_interactions, vector_task

TASK = Task.parse(
    {
        "actions": ["a", "b"],
        "context": EVERY_KIND,
        "action_features": {"price": "number", "tags": "categories"},
    }
)
float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
fraction = st.floats(0, 1, width=32)
features = {
    "age": st.none() | float32,
    "member": st.none() | st.booleans(),
    "country": st.none() | st.text(),
    "device": st.none() | st.sampled_from(["phone", "tablet"]),
    "interests": st.lists(st.text(), max_size=3),
    "history": st.lists(float32, max_size=2),
}
candidate = st.fixed_dictionaries({"price": st.none() | float32, "tags": st.lists(st.text(), max_size=2)})
interaction = st.fixed_dictionaries(
    {
        "event_id": st.text(),
        "timestamp": st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
        "policy_version": st.text(),
        "context": st.fixed_dictionaries(features),
        "candidates": st.lists(st.text(), max_size=3),
        "candidate_features": st.lists(candidate, max_size=3),
        "action": st.text(),
        "propensity": fraction,
        "probabilities": st.lists(fraction, max_size=5),
        "mode": st.text(),
        "logging_probability": st.just(0.5),
        "assignment_share": st.none() | fraction,
        "episode_id": st.none() | st.text(),
        "step": st.none() | st.integers(0, 2**31 - 1),
        "terminal": st.none() | st.booleans(),
        "reward": float32,
    }
)


@settings(max_examples=30)
@given(rows=st.lists(interaction, max_size=7), cut=st.integers(0, 7))
def test_examples_are_read_as_written(rows, cut, tmp_path_factory):
    folder, schema = tmp_path_factory.mktemp("examples"), interaction_schema(TASK)
    table = pa.Table.from_pylist(rows, schema)
    batches = [*table.slice(0, cut).to_batches(), *table.slice(cut).to_batches()]
    assert examples.write_examples(batches, folder) == len(rows)
    for parse in (columns, parsed_examples.parse_in_python, parsed_examples.parse_with_tensorflow):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parsed_examples, "columns", parse)
            read = (
                list(examples.read_examples(examples.example_files(folder), TASK)) if rows else [schema.empty_table()]
            )
        assert pa.concat_tables(read).to_pylist() == table.to_pylist()
    assert examples.write_examples(batches, folder, "arrow") == len(rows)
    read = list(examples.read_examples(examples.example_files(folder), TASK)) if rows else [schema.empty_table()]
    assert pa.concat_tables(read).to_pylist() == table.to_pylist()


@pytest.mark.parametrize("kept", [True, False])
def test_the_actions_are_beside_the_files_or_read_from_them(tmp_path, kept):
    """The latest features of every candidate, wherever the rows are cut."""
    decisions = decision_table(
        TASK,
        event_id=["1", "2", "3"],
        timestamp=[START, START + timedelta(seconds=2), START + timedelta(seconds=1)],
        policy_version="v",
        context=[{}] * 3,
        candidates=[["a", "b"], ["b", "c"], ["c", "b"]],
        candidate_features=[[{"price": 1.0}, {"price": 2.0}], [{"price": 3.0}, {"price": 4.0}], []],
        action=["a", "c", "b"],
        propensity=0.5,
        probabilities=[[0.5, 0.5]] * 3,
    )
    schema = interaction_schema(TASK)
    table = decisions.append_column(schema.field("reward"), pa.array([0.0] * 3))
    for rows_per_batch in (1, 2, 3):
        examples.write_examples(table.to_batches(max_chunksize=rows_per_batch), tmp_path)
        if not kept:
            (tmp_path / FILE).unlink()
        seen = examples.example_actions(tmp_path, TASK)
        assert seen.ids == {"a", "b", "c"}
        assert {action: features["price"] for action, features in seen.features.items()} == {"a": 1, "b": 3, "c": 4}


def test_many_rows_are_written_to_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "ROWS_PER_FILE", 10)
    for rows in (9, 10, 11, 20, 25):
        folder, table = tmp_path / str(rows), random_interactions(rows)
        examples.write_examples(table.to_batches(max_chunksize=7), folder)
        assert len(list(folder.glob("*.tfrecord"))) == -(-rows // 10)
        read = pa.concat_tables(examples.read_examples(examples.example_files(folder), vector_task()))
        assert read["event_id"] == table["event_id"]
        assert read["context"].combine_chunks() == table["context"].combine_chunks()


def test_examples_of_other_writers_are_read(tmp_path):
    """With features in another order, or more of them, as protobuf alone writes them: a file of such and of ours."""
    table = random_interactions(20)
    examples.write_examples(table.to_batches(), tmp_path)
    [file] = examples.example_files(tmp_path)
    others = []
    for number, record in enumerate(read_records(file)):
        ours, other = Example.FromString(record), Example()
        for name in sorted(ours.features.feature, reverse=bool(number % 2)):
            other.features.feature[name].CopyFrom(ours.features.feature[name])
        other.features.feature["more"].int64_list.value.append(number)
        others.append(other.SerializeToString())
    write_records(file, others)
    for many_bytes in (0, parsed_examples.MANY_BYTES):  # by TensorFlow, and in Python
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parsed_examples, "MANY_BYTES", many_bytes)
            [read] = examples.read_examples([file], vector_task())
        assert read["event_id"].to_pylist() == table["event_id"].to_pylist()
        assert read["context"].combine_chunks() == table["context"].combine_chunks()


def test_what_holds_no_examples_of_the_task_is_refused_by_name(tmp_path, monkeypatch):
    """Such as integers for a number, which would be read as if it was missing."""
    examples.write_examples(random_interactions(20).to_batches(), tmp_path)
    [file] = examples.example_files(tmp_path)
    other = Example.FromString(next(read_records(file)))
    other.features.feature["reward"].int64_list.value.append(1)
    write_records(file, [*read_records(file), other.SerializeToString()])
    write_records(tmp_path / "none.tfrecord", [b"a"])
    none, message = tmp_path / "none.tfrecord", r"tfrecord: holds no tf.train.Examples of the task: "
    for many_bytes in (0, parsed_examples.MANY_BYTES):  # by TensorFlow, and in Python
        monkeypatch.setattr(parsed_examples, "MANY_BYTES", many_bytes)
        with pytest.raises(InvalidInput, match=f"{message}the feature reward is of the kind int64_list, it must be"):
            list(examples.read_examples([file], vector_task()))
        with pytest.raises(InvalidInput, match=f"{message}Error parsing message"):
            list(examples.read_examples([none], vector_task()))
    with pytest.raises(InvalidInput, match=f"{message}Error parsing message"):
        examples.are_transitions([none])


def test_what_only_tensorflow_finds_is_told_in_its_words(tmp_path, monkeypatch):
    monkeypatch.setattr(parsed_examples, "MANY_BYTES", 0)
    monkeypatch.setattr(parsed_examples, "parse_in_python", lambda records, kinds: {})
    write_records(tmp_path / "none.tfrecord", [b"a"])
    with pytest.raises(InvalidInput, match=r"tfrecord: holds no tf.train.Examples of the task: .*Could not parse"):
        list(examples.read_examples([tmp_path / "none.tfrecord"], vector_task()))
