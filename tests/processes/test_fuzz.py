"""Fuzzing over HTTP and the bus: the endpoint never fails and no invalid event is stored. 10,000 cases."""

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

from banditloop.functions.logger import log_events
from banditloop.functions.simulator import Visit
from banditloop.rl_core import cloud_events
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import DECISION, REWARD, decode, encode
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.predict_request import read_predict_request
from banditloop.rl_core.serving.reward_request import read_activations, read_rewards
from tests.conftest import decisions, rewards
from tests.support.processes import served, wait_until

HTTP, DECODER = 400, 1500  # cases for each of 3 requests, valid and invalid, and for each of 7 decoders
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
statuses: dict[tuple[str, GenerationMode], Counter[int]] = {}
DETERMINISTIC = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}

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
@settings(max_examples=HTTP, **DETERMINISTIC)
@given(data=st.data())
def test_no_request_causes_a_server_error_or_an_undocumented_answer(described, path, mode, data):
    case = data.draw(described[path]["POST"].as_strategy(generation_mode=mode))
    response = case.call_and_validate(checks=CHECKS)
    statuses.setdefault((path, mode), Counter())[response.status_code] += 1


def test_accepted_requests_are_logged_without_dead_letters(platform):
    """After the test above: every message on the bus is valid, and there were many."""
    accepted = [statuses[path, GenerationMode.POSITIVE] for path in ("/predict", "/reward", "/activate")]
    assert [counts[200] + counts[202] > HTTP / 8 for counts in accepted] == [True] * 3, accepted
    delivered = dict.fromkeys(("decisions", "rewards"), 0)
    for topic in delivered:
        wait_until(
            lambda: not any(Outbox(folder).pending_bytes() for folder in (platform.scratch / "outbox").iterdir())
        )
        while platform.bus.deliver(
            topic, lambda payloads, topic=topic: delivered.update({topic: 1}) or log_events(platform, topic, payloads)
        ):
            pass
        assert platform.bus.dead_letters(topic) == []
    assert delivered == {"decisions": 1, "rewards": 1}


def close_to(good):
    """Payloads that differ from a good one in a value or a key, and arbitrary ones."""
    keys = sorted(good)
    changed = st.tuples(st.sampled_from(keys) | st.text(max_size=8), anything).map(lambda pair: good | dict([pair]))
    incomplete = st.sampled_from(keys).map(lambda key: {k: v for k, v in good.items() if k != key})
    newer = st.integers().map(lambda version: good | {"schema_version": version})
    return st.lists(changed | incomplete | newer, max_size=3) | anything


def json_of(value):
    """The value as JSON with NaN, lone surrogates and numbers of any length, as Python writes it."""
    return json.dumps(value).encode()


DECODERS = {
    "decisions": lambda payload: decode(DECISION, payload),
    "rewards": lambda payload: decode(REWARD, payload),
    "request": read_predict_request,
    "reward request": lambda body: read_rewards(body, "reward"),
    "activation request": read_activations,
    "visit": lambda payload: Visit.parse(orjson.loads(payload), "visit"),
    "cloud event": lambda payload: cloud_events.payload(
        CloudEvent({"type": cloud_events.MESSAGE_PUBLISHED, "source": "topics/t"}, orjson.loads(payload))
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
LIST_KEYS = {"request": "instances", "reward request": "rewards"}


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=DECODER, **DETERMINISTIC)
@given(data=st.data())
def test_no_payload_raises_anything_but_invalid_input(name, data):
    value = data.draw(close_to(GOOD[name]))
    if name in LIST_KEYS and data.draw(st.booleans()):
        value = {LIST_KEYS[name]: value}
    payload = data.draw(st.binary()) if data.draw(st.integers(0, 9)) == 0 else json_of(value)
    with contextlib.suppress(InvalidInput, orjson.JSONDecodeError):
        decoded = DECODERS[name](payload)
        if name in ("decisions", "rewards"):
            assert decode(decoded.schema, encode(decoded)) == decoded  # accepted events survive another round trip
