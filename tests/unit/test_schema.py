"""Events survive their encoding for the bus, and invalid payloads are refused."""

import json
from datetime import UTC, datetime

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import (
    DECISION,
    INTERACTION,
    LOGGED_AT,
    MAX_ID_LENGTH,
    MODES,
    REWARD,
    SCHEMA_VERSION,
    decode,
    encode,
)
from tests.conftest import START, decisions, rewards

times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
ids = st.text(min_size=1, max_size=MAX_ID_LENGTH)
finite = st.floats(-1e6, 1e6, width=32)
decision = st.fixed_dictionaries(
    {
        "event_id": ids,
        "timestamp": times,
        "policy_version": ids,
        "observation": st.lists(finite),
        "action": st.integers(0, 2**31 - 1),
        "propensity": st.floats(0, 1, exclude_min=True),
        "probabilities": st.lists(st.floats(0, 1)),
        "mode": st.sampled_from(MODES),
        "pass_probability": st.floats(0, 1, exclude_min=True),
    }
)


@given(st.lists(decision))
def test_a_table_survives_its_json_encoding(rows):
    table = pa.Table.from_pylist(rows, DECISION)
    assert decode(DECISION, encode(table)) == table


@given(
    st.binary()
    | st.recursive(st.none() | st.floats() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_other_payload_raises_invalid_input_in_one_line(payload):
    try:
        assert decode(DECISION, payload).num_rows == 0
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
        ("observation", [None]),
        ("observation", ["1"]),
        ("observation", [1e7]),
        ("action", 1.5),
        ("action", -1),
        ("action", 2**40),
        ("propensity", 0.0),
        ("propensity", 1.1),
        ("probabilities", 1.0),
        ("mode", None),
        ("mode", "else"),
        ("event_id", ""),
        ("event_id", "x" * 257),
        ("pass_probability", 0.0),
        ("schema_version", "2"),
        ("schema_version", 0),
        ("more", 1),
    ],
)
def test_a_bad_field_is_named(field, value):
    row = orjson.loads(encode(decisions(["a"])))[0] | {field: value}
    with pytest.raises(InvalidInput, match=field if value != 2**40 else "event"):
        decode(DECISION, orjson.dumps([row]))


def test_a_missing_field_is_named():
    row = orjson.loads(encode(rewards(["a"])))[0]
    del row["value"]
    with pytest.raises(InvalidInput, match=r"event\.0\.value: Field required"):
        decode(REWARD, orjson.dumps([row]))


def test_a_reward_that_is_not_a_number_is_refused():
    with pytest.raises(InvalidInput):
        decode(REWARD, encode(rewards(["a"])).replace(b"1.0", b"NaN"))


@pytest.mark.parametrize("field", [*INTERACTION, *REWARD, LOGGED_AT], ids=lambda field: field.name)
def test_every_field_has_a_description(field):
    assert field.metadata[b"description"]


FIRST_DECISION = (  # exactly as version 1 wrote it
    b'[{"event_id":"a","timestamp":"2026-01-01T00:00:00+00:00","policy_version":"v1-a","observation":[1.0,2.0],'
    b'"action":0,"propensity":0.5,"probabilities":[0.5,0.5],"mode":"online"}]'
)
FIRST_REWARD = b'[{"event_id":"a","name":"reward","value":1.0,"timestamp":"2026-01-01T00:00:00+00:00","source_id":""}]'


def test_events_of_schema_version_1_are_read_with_defaults():
    assert decode(DECISION, FIRST_DECISION) == decisions(["a"], at=START)
    assert decode(REWARD, FIRST_REWARD) == rewards(["a"], at=START)
    both = [*orjson.loads(FIRST_DECISION), *orjson.loads(encode(decisions(["b"], at=START)))]
    assert decode(DECISION, orjson.dumps(both)) == decisions(["a", "b"], at=START)


def test_fields_of_an_event_without_a_version_are_kept():
    event = {**orjson.loads(FIRST_DECISION)[0], "pass_probability": 0.25}
    assert decode(DECISION, orjson.dumps([event]))["pass_probability"].to_pylist() == [0.25]


@pytest.mark.parametrize("schema", [DECISION, REWARD])
def test_an_event_of_a_newer_schema_version_is_refused_with_a_remedy(schema):
    event = {"schema_version": SCHEMA_VERSION + 1, "something": "new"}
    with pytest.raises(InvalidInput, match=r"schema_version = 3: 2 is the newest known here; upgrade .* replay"):
        decode(schema, orjson.dumps([event]))


def test_a_bad_field_of_schema_version_1_is_named():
    with pytest.raises(InvalidInput, match="propensity"):
        decode(DECISION, FIRST_DECISION.replace(b'"propensity":0.5', b'"propensity":5'))
