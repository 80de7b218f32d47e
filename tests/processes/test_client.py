"""The clients against a real predictor: decisions, rewards, activations, refusals, and retries with one id."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import orjson
import pytest

import banditloop
from banditloop.rl_core.backends import connect
from banditloop.rl_core.client import Unavailable
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.promotion.transitions import ensure_champion
from tests.support.processes import free_port, process, wait_until
from tests.support.proxy import Response, proxy

TASK = {"actions": ["a", "b", "c"], "context": {"age": "number"}}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("client") / "loop")
    config = Config.parse({"task": TASK, "backend": {"root": root}, "serving": {"port": free_port()}})
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    with process(config, "-m", "banditloop.functions.predictor"):
        wait_until(platform.endpoint.serving_versions)
        yield platform


@pytest.fixture
def client(platform):
    with banditloop.Client(platform.endpoint.url()) as client:
        yield client


def test_a_decision_and_its_reward(client):
    decision = client.rank({"age": 30}, actions=["a", "b"], exclude=["a"], explain=True, user="u1")
    assert (decision.action, decision.propensity, decision.policy_version) == ("b", 1.0, "random")
    assert decision.probabilities == {"b": 1.0}
    client.reward(decision.event_id, True, source_id="first")
    deferred = client.rank(deferred=True)
    assert deferred.probabilities is None
    client.activate(deferred.event_id)
    assert len(client.rank_all([{"context": {}}] * 3)) == 3
    assert client.rank(event_id="mine").event_id == "mine"


def test_what_the_server_refuses_is_said_at_once(client):
    with pytest.raises(InvalidInput, match="valid number"):
        client.rank({"age": "thirty"})
    with pytest.raises(InvalidInput, match="shoe_size"):
        client.rank({"shoe_size": 44})
    with pytest.raises(InvalidInput, match="value"):
        client.reward("id", float("1e300"))


def test_async_clients_do_the_same(platform):
    async def decide() -> list:
        async with banditloop.AsyncClient(platform.endpoint.url()) as client:
            decisions = await asyncio.gather(*(client.rank({"age": age}) for age in range(20)))
            await asyncio.gather(*(client.reward(decision.event_id, 1.0) for decision in decisions))
            await client.activate(decisions[0].event_id)
            with pytest.raises(InvalidInput, match="shoe_size"):
                await client.rank({"shoe_size": 44})
        return decisions

    assert len({decision.event_id for decision in asyncio.run(decide())}) == 20


def test_threads_share_a_client(client):
    with ThreadPoolExecutor(8) as pool:
        decisions = list(pool.map(lambda age: client.rank({"age": age}), range(50)))
    assert len({decision.event_id for decision in decisions}) == 50


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_what_may_pass_is_tried_again_with_the_same_id(platform, status):
    """The endpoint has answered each time, but a proxy says something else."""
    answers = []

    def lossy(request, forward):
        response = forward(request)
        answers.append(response.body)
        return Response(status, {}, b"<html>") if len(answers) < 3 else response

    with proxy(platform.endpoint.url(), lossy) as url, banditloop.Client(url) as client:
        decision = client.rank({"age": 3})
    assert len(answers) == 3
    assert {orjson.loads(answer)["predictions"][0]["event_id"] for answer in answers} == {decision.event_id}


def test_any_other_status_is_raised_at_once(platform):
    requests = []

    def broken(request, forward):
        requests.append(request)
        return Response(500, {}, b"")

    address = platform.endpoint.url()
    with proxy(address, broken) as url, banditloop.Client(url) as client, pytest.raises(httpx.HTTPStatusError):
        client.rank()
    assert len(requests) == 1


@pytest.mark.slow
def test_an_endpoint_that_starts_late_is_waited_for(tmp_path):
    backend, serving = {"root": str(tmp_path / "loop")}, {"port": free_port()}
    config = Config.parse({"task": TASK, "backend": backend, "serving": serving})
    ensure_champion(config, connect(config).endpoint)
    client = banditloop.Client(f"http://127.0.0.1:{config.serving.port}", retry_seconds=60)
    with ThreadPoolExecutor(1) as pool:
        decision = pool.submit(client.rank)
        with process(config, "-m", "banditloop.functions.predictor"):
            assert decision.result(60).action in ("a", "b", "c")
    with pytest.raises((httpx.TransportError, Unavailable)):
        banditloop.Client(f"http://127.0.0.1:{config.serving.port}", retry_seconds=0.2).rank()


def test_a_repeated_request_carries_its_id(monkeypatch, client):
    """The first answer is lost on its way: the second one is the same decision."""
    answers = []
    post = httpx.Client.post

    def lossy(session, **request):
        answers.append(post(session, **request).json())
        if len(answers) == 1:
            raise httpx.ReadError("connection reset")
        return post(session, **request)

    monkeypatch.setattr(httpx.Client, "post", lossy)
    decision = client.rank({"age": 3})
    assert {answer["predictions"][0]["event_id"] for answer in answers} == {decision.event_id}
