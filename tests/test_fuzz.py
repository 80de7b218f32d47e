"""Fuzz: whatever comes over HTTP or over the bus, the endpoint never fails and no bad event gets in. 10,000 cases."""

import contextlib
import json
from collections import Counter

import orjson
import pytest
import schemathesis
from cloudevents.http import CloudEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from functions.logger import log_events
from functions.simulator import Visit
from rl_core.asking import read_asks
from rl_core.backends import cloud_events
from rl_core.backends.outbox import Outbox
from rl_core.errors import InvalidInput
from rl_core.rewards import read_activations, read_rewards
from rl_core.schema import DECISION, REWARD, decode, encode
from tests.conftest import decisions, rewards
from tests.processes import served, wait_until

HTTP, DECODER = 400, 1500  # cases for each of 3 requests, right and wrong, and for each of 7 decoders
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
statuses: dict[tuple[str, GenerationMode], Counter[int]] = {}
calm = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with served(tmp_path_factory.mktemp("fuzz")) as platform:
        yield platform


@pytest.fixture(scope="module")
def described(platform):
    return schemathesis.openapi.from_url(f"{platform.endpoint.url()}/openapi.json")


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("path", ["/predict", "/reward", "/activate"])
@settings(max_examples=HTTP, **calm)
@given(data=st.data())
def test_no_request_makes_the_endpoint_fail_or_answer_what_it_does_not_describe(described, path, mode, data):
    case = data.draw(described[path]["POST"].as_strategy(generation_mode=mode))
    response = case.call_and_validate(checks=CHECKS)
    statuses.setdefault((path, mode), Counter())[response.status_code] += 1


def test_what_got_through_is_logged_without_a_dead_letter(platform):
    """After the test above: every message on the bus is whole, and there were many."""
    accepted = [statuses[path, GenerationMode.POSITIVE] for path in ("/predict", "/reward", "/activate")]
    assert [counts[200] + counts[202] > HTTP / 8 for counts in accepted] == [True] * 3, accepted
    got = dict.fromkeys(("decisions", "rewards"), 0)
    for topic in got:
        wait_until(lambda: not any(Outbox(folder).waiting() for folder in (platform.scratch / "outbox").iterdir()))
        while platform.bus.deliver(
            topic, lambda payloads, topic=topic: got.update({topic: 1}) or log_events(platform, topic, payloads)
        ):
            pass
        assert platform.bus.dead_letters(topic) == []
    assert got == {"decisions": 1, "rewards": 1}


def close_to(good):
    """Payloads that differ from a good one in a value or a key, or that are nothing of the kind."""
    keys = sorted(good)
    other = st.tuples(st.sampled_from(keys) | st.text(max_size=8), anything).map(lambda pair: good | dict([pair]))
    less = st.sampled_from(keys).map(lambda key: {k: v for k, v in good.items() if k != key})
    newer = st.integers().map(lambda version: good | {"schema_version": version})
    return st.lists(other | less | newer, max_size=3) | anything


def json_of(value):
    """The value as JSON as Python writes it, with NaN, lone surrogates and numbers of any length."""
    return json.dumps(value).encode()


DECODERS = {
    "decisions": lambda payload: decode(DECISION, payload),
    "rewards": lambda payload: decode(REWARD, payload),
    "request": read_asks,
    "reward request": lambda body: read_rewards(body, "reward"),
    "activation request": read_activations,
    "visit": lambda payload: Visit.parse(orjson.loads(payload), "visit"),
    "cloud event": lambda payload: cloud_events.payload(
        CloudEvent({"type": cloud_events.PUBLISHED, "source": "topics/t"}, orjson.loads(payload))
    ),
}
GOOD = {
    "decisions": orjson.loads(encode(decisions(["a"])))[0],
    "rewards": orjson.loads(encode(rewards(["a"])))[0],
    "request": {"observation": [1.0], "user": "u", "event_id": "e", "deferred": True, "action": 1},
    "reward request": {"event_id": "e", "value": 1.0, "source_id": "s", "name": "n"},
    "activation request": {"event_ids": ["e"]},
    "visit": {"users": 3, "seed": 1},
    "cloud event": {"message": {"data": "W10="}},
}
INSIDE = {"request": "instances", "reward request": "rewards"}


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=DECODER, **calm)
@given(data=st.data())
def test_no_payload_is_worse_than_invalid_input(name, data):
    value = data.draw(close_to(GOOD[name]))
    if name in INSIDE and data.draw(st.booleans()):
        value = {INSIDE[name]: value}
    payload = data.draw(st.binary()) if data.draw(st.integers(0, 9)) == 0 else json_of(value)
    with contextlib.suppress(InvalidInput, orjson.JSONDecodeError):
        decoded = DECODERS[name](payload)
        if name in ("decisions", "rewards"):
            assert decode(decoded.schema, encode(decoded)) == decoded  # what gets in can be written and read again
