"""Events survive their encoding for the bus, older ones are upgraded, and invalid payloads are refused."""

import json
from datetime import UTC, datetime

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import decode, encode
from banditloop.rl_core.events.schema import (
    LOGGED_AT,
    MAX_CANDIDATES,
    MAX_CATEGORIES,
    MAX_ID_LENGTH,
    MODES,
    REWARD,
    SCHEMA_VERSION,
    decision_schema,
    interaction_schema,
)
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.events import TASK
from tests.conftest import START, decisions, rewards

NEWS = Task.parse(
    {
        "actions": "open",
        "context": {
            "age": "number",
            "member": "boolean",
            "country": "category",
            "device": ["phone", "desktop"],
            "interests": "categories",
            "history": {"vector": 2},
        },
        "action_features": {"price": "number", "topics": "categories"},
    },
    "task",
)
DECISION = decision_schema(NEWS)
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
ids = st.text(min_size=1, max_size=MAX_ID_LENGTH)
texts = st.text(min_size=1, max_size=20)
numbers = st.floats(-1e6, 1e6)
shares = st.floats(0, 1, exclude_min=True)


def features(**kinds):
    """Features by name, each of which may be null or missing."""
    return st.fixed_dictionaries({}, optional={name: st.none() | kind for name, kind in kinds.items()})


contexts = features(
    age=numbers,
    member=st.booleans(),
    country=texts,
    device=texts,
    interests=st.lists(texts, max_size=3),
    history=st.lists(st.floats(-1e6, 1e6, width=32), max_size=3),
)
decision = st.fixed_dictionaries(
    {
        "event_id": ids,
        "timestamp": times,
        "policy_version": ids,
        "context": contexts,
        "candidates": st.lists(ids, max_size=3),
        "candidate_features": st.lists(features(price=numbers, topics=st.lists(texts, max_size=3)), max_size=3),
        "action": ids,
        "propensity": shares,
        "probabilities": st.lists(st.floats(0, 1), max_size=3),
        "mode": st.sampled_from(MODES),
        "logging_probability": shares,
    },
    optional={
        "assignment_share": st.none() | st.floats(0, 1),
        "episode_id": st.none() | ids,
        "step": st.none() | st.integers(0, 2**31 - 1),
        "terminal": st.none() | st.booleans(),
        "truncated": st.none() | st.booleans(),
        "slate_id": st.none() | ids,
        "slot": st.none() | st.integers(0, 2**31 - 1),
    },
)


@given(st.lists(decision, max_size=3))
def test_a_table_survives_its_json_encoding(rows):
    table = pa.Table.from_pylist(rows, DECISION)
    assert decode(DECISION, encode(table)) == table


@given(
    st.binary()
    | st.recursive(st.none() | st.floats() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_other_payload_raises_invalid_input_in_one_line(payload):
    try:
        assert decode(DECISION, payload, NEWS).num_rows == 0
    except InvalidInput as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", 1),
        ("timestamp", "yesterday"),
        ("timestamp", "2026-01-01T00:00:00"),
        ("timestamp", "0001-01-01T00:00:00Z"),
        ("timestamp", "9999-12-31T23:59:59Z"),
        ("context", None),
        ("context", [1.0]),
        ("context.age", "30"),
        ("context.age", True),
        ("context.age", 1e7),
        ("context.member", 1),
        ("context.country", ""),
        ("context.country", "x" * 257),
        ("context.interests", "a"),
        ("context.interests", [None]),
        ("context.interests", ["a"] * (MAX_CATEGORIES + 1)),
        ("context.history", [None]),
        ("context.history", ["1"]),
        ("context.history", [1e7]),
        ("context.unknown", 1.0),
        ("candidates", ["a", 1]),
        ("candidates", [""]),
        ("candidates", ["a"] * (MAX_CANDIDATES + 1)),
        ("candidate_features", [None]),
        ("candidate_features", [{"price": "1"}]),
        ("candidate_features", [{"prize": 1.0}]),
        ("candidate_features", [{}] * (MAX_CANDIDATES + 1)),
        ("action", 1),
        ("action", ""),
        ("propensity", 0.0),
        ("propensity", 1.1),
        ("probabilities", 1.0),
        ("probabilities", [1.1]),
        ("mode", None),
        ("mode", "else"),
        ("event_id", ""),
        ("event_id", "x" * 257),
        ("logging_probability", 0.0),
        ("assignment_share", 1.5),
        ("step", -1),
        ("step", 2**40),
        ("terminal", 1),
        ("slot", 0.5),
        ("schema_version", "3"),
        ("schema_version", 0),
        ("more", 1),
    ],
)
def test_a_bad_field_is_named(field, value):
    row = orjson.loads(encode(decisions(["a"], task=NEWS, context={})))[0]
    name, _, feature = field.partition(".")
    row[name] = {feature: value} if feature else value
    with pytest.raises(InvalidInput, match=field if value != 2**40 else "event"):
        decode(DECISION, orjson.dumps([row]), NEWS)


def test_a_missing_field_is_named():
    row = orjson.loads(encode(rewards(["a"])))[0]
    del row["value"]
    with pytest.raises(InvalidInput, match=r"event\.0\.value: Field required"):
        decode(REWARD, orjson.dumps([row]))


def test_a_reward_that_is_not_a_number_is_refused():
    with pytest.raises(InvalidInput):
        decode(REWARD, encode(rewards(["a"])).replace(b"1.0", b"NaN"))


@pytest.mark.parametrize("field", [*interaction_schema(NEWS), *REWARD, LOGGED_AT], ids=lambda field: field.name)
def test_every_field_has_a_description(field):
    assert field.metadata[b"description"]


FIRST_DECISION = (  # exactly as version 1 wrote it
    b'[{"event_id":"a","timestamp":"2026-01-01T00:00:00+00:00","policy_version":"v1-a","observation":[1.0,2.0],'
    b'"action":0,"propensity":0.5,"probabilities":[0.5,0.5],"mode":"online"}]'
)
FIRST_REWARD = b'[{"event_id":"a","name":"reward","value":1.0,"timestamp":"2026-01-01T00:00:00+00:00","source_id":""}]'
SECOND = {"schema_version": 2, "pass_probability": 0.25, "mode": "logged"}
PLAIN = decision_schema(TASK)


def test_events_of_schema_version_1_are_upgraded():
    assert decode(PLAIN, FIRST_DECISION, TASK) == decisions(["a"], at=START)
    assert decode(REWARD, FIRST_REWARD) == rewards(["a"], at=START)
    both = [*orjson.loads(FIRST_DECISION), *orjson.loads(encode(decisions(["b"], at=START)))]
    assert decode(PLAIN, orjson.dumps(both), TASK) == decisions(["a", "b"], at=START)


def test_events_of_schema_version_2_are_upgraded():
    event = orjson.loads(FIRST_DECISION)[0] | SECOND
    expected = decisions(["a"], at=START, mode="external", logging_probability=0.25)
    assert decode(PLAIN, orjson.dumps([event]), TASK) == expected
    reward = orjson.loads(FIRST_REWARD)[0] | {"schema_version": 2}
    assert decode(REWARD, orjson.dumps([reward]), TASK) == rewards(["a"], at=START)


def test_an_older_event_without_names_is_refused_where_the_task_has_named_features():
    with pytest.raises(
        InvalidInput, match="version 2 can be read only for a task with one vector and numbered actions; this"
    ):
        decode(DECISION, FIRST_DECISION, NEWS)


def test_fields_of_an_event_without_a_version_are_kept():
    event = {**orjson.loads(FIRST_DECISION)[0], "pass_probability": 0.25}
    assert decode(PLAIN, orjson.dumps([event]), TASK)["logging_probability"].to_pylist() == [0.25]


@pytest.mark.parametrize("schema", [PLAIN, REWARD])
def test_an_event_of_a_newer_schema_version_is_refused_with_a_remedy(schema):
    event = {"schema_version": SCHEMA_VERSION + 1, "something": "new"}
    with pytest.raises(InvalidInput, match=r"schema_version = 4: 3 is the newest known here; upgrade .* replay"):
        decode(schema, orjson.dumps([event]), TASK)


@pytest.mark.parametrize(("field", "value"), [("propensity", 5), ("observation", [1e7]), ("pass_probability", 0)])
def test_a_bad_field_of_an_older_event_is_named(field, value):
    event = orjson.loads(FIRST_DECISION)[0] | SECOND | {field: value}
    names = {"observation": "context", "pass_probability": "logging_probability"}
    with pytest.raises(InvalidInput, match=names.get(field, field)):
        decode(PLAIN, orjson.dumps([event]), TASK)
