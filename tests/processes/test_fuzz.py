"""Fuzzing over HTTP and the bus: the endpoint never fails and no invalid event is stored. 10,000 cases."""

import contextlib
import functools
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
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import decode, encode
from banditloop.rl_core.events.schema import REWARD, decision_schema
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.predict_request import read_predict_request
from banditloop.rl_core.serving.reward_request import read_activations, read_rewards
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.backends.features import ACTION_FEATURES, CONTEXT
from tests.conftest import decisions, make_config, rewards, vector_task
from tests.support.processes import process, served, wait_until

HTTP, DECODER = 400, 1500  # cases for each of 4 requests, valid and invalid, and for each of 7 decoders
TASK = vector_task(2, 2)
DECISION = decision_schema(TASK)
NAMED = Task.parse({"context": CONTEXT, "action_features": ACTION_FEATURES})
ROUTES = [("vectors", "/predict"), ("names", "/predict"), ("vectors", "/reward"), ("vectors", "/activate")]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
statuses: dict[tuple[str, str, GenerationMode], Counter[int]] = {}
DETERMINISTIC = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def platforms(tmp_path_factory):
    """The platforms of a task of plain vectors, with a policy, and of one of named features, with the random policy."""
    config = make_config(tmp_path_factory.mktemp("names"), task=NAMED.model_dump())
    names = connect(config)
    ensure_champion(config, names.endpoint)
    with served(tmp_path_factory.mktemp("vectors")) as vectors, process(config, "-m", "banditloop.functions.predictor"):
        wait_until(names.endpoint.serving_versions)
        yield {"vectors": vectors, "names": names}


@pytest.fixture(scope="module")
def described(platforms):
    return {
        task: schemathesis.openapi.from_url(f"{platform.endpoint.url()}/openapi.json")
        for task, platform in platforms.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("task", "path"), ROUTES)
@settings(max_examples=HTTP, **DETERMINISTIC)
@given(data=st.data())
def test_no_request_causes_a_server_error_or_an_undocumented_answer(described, task, path, mode, data):
    case = data.draw(described[task][path]["POST"].as_strategy(generation_mode=mode))
    response = case.call_and_validate(checks=CHECKS)
    statuses.setdefault((task, path, mode), Counter())[response.status_code] += 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task", "topics"), [("vectors", vector_task(), 2), ("names", NAMED, 1)])
def test_accepted_requests_are_logged_without_dead_letters(platforms, name, task, topics):
    """After the test above: every message on the bus is valid, and there were many."""
    accepted = {route: statuses[*route, GenerationMode.POSITIVE] for route in ROUTES}
    # 409: the request is valid, and its id was used before for another one.
    assert all(counts[200] + counts[202] + counts[409] > HTTP / 8 for counts in accepted.values()), accepted
    platform, delivered = platforms[name], set()

    def log(topic, payloads):
        delivered.add(topic)
        log_events(task, platform, topic, payloads)

    for topic in ("decisions", "rewards"):
        wait_until(
            lambda: not any(Outbox(folder).pending_bytes() for folder in (platform.scratch / "outbox").iterdir())
        )
        while platform.bus.deliver(topic, functools.partial(log, topic)):
            pass
        assert platform.bus.dead_letters(topic) == []
    assert len(delivered) == topics


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
    "decisions": lambda payload: decode(DECISION, payload, TASK),
    "rewards": lambda payload: decode(REWARD, payload),
    "request": read_predict_request,
    "reward request": lambda body: read_rewards(body, TASK, RewardSection()),
    "activation request": read_activations,
    "visit": lambda payload: Visit.parse(orjson.loads(payload), "visit"),
    "cloud event": lambda payload: cloud_events.payload(
        CloudEvent({"type": cloud_events.MESSAGE_PUBLISHED, "source": "topics/t"}, orjson.loads(payload))
    ),
}
GOOD = {
    "decisions": orjson.loads(encode(decisions(["a"])))[0],
    "rewards": orjson.loads(encode(rewards(["a"])))[0],
    "request": {"observation": [1.0], "user": "u", "event_id": "e", "deferred": True, "action": 1, "exclude": ["2"]},
    "reward request": {"event_id": "e", "value": 1.0, "source_id": "s", "name": "n"},
    "activation request": {"event_ids": ["e"]},
    "visit": {"users": 3, "seed": 1},
    "cloud event": {"message": {"data": "W10="}},
}
LIST_KEYS = {"request": "instances", "reward request": "rewards"}


@pytest.mark.slow
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
