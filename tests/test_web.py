"""The endpoint's web side: limits, overload, metrics, what it says of itself, and its end."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from rl_core.backends import connect
from rl_core.backends.guard import LARGEST_BODY, ROOM, Guard, Refused
from rl_core.backends.microbatch import MicroBatch
from rl_core.backends.web import Route, create_app
from rl_core.backends.web import json as json_reply
from rl_core.config import ENVIRONMENT_VARIABLE
from rl_core.schema import DECISION, decode
from tests.conftest import deploy, make_config, make_policy
from tests.processes import process, served, wait_until

BODY = {"instances": [[0.1] * 20]}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with served(tmp_path_factory.mktemp("web")) as platform:
        yield platform


def metrics(url):
    """What Prometheus reads, by name and labels."""
    response = requests.get(f"{url}/metrics", timeout=10)
    assert response.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(response.text)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/nowhere", 404, "/nowhere: is not one of: /predict, /reward"),
        ("GET", "/predict", 405, "/predict is asked with POST"),
        ("POST", "/health", 405, "/health is asked with GET"),
    ],
)
def test_what_is_not_there_is_said(platform, method, path, status, message):
    response = requests.request(method, platform.endpoint.url() + path, timeout=10)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_metrics_count_requests_by_route_and_status_and_decisions_by_version(platform):
    url = platform.endpoint.url()
    before = metrics(url)
    for _ in range(3):
        requests.post(f"{url}/predict", json=BODY, timeout=10)
    requests.post(f"{url}/predict", json={}, timeout=10)
    requests.post(f"{url}/elsewhere/{os.getpid()}", timeout=10)
    after = metrics(url)

    def more(*key):
        return after[key] - before.get(key, 0)

    count = "banditloop_request_seconds_count"
    assert more(count, ("route", "/predict"), ("status", "200")) == 3
    assert more(count, ("route", "/predict"), ("status", "400")) == 1
    assert more(count, ("route", "other"), ("status", "404")) == 1
    assert more("banditloop_decisions_total", ("version", "v1-00000000")) == 3
    assert after["banditloop_failures_total", ("version", "v1-00000000")] == 0
    wait_until(lambda: metrics(url)["banditloop_outbox_bytes", ("topic", "decisions")] == 0)
    assert after["banditloop_request_seconds_bucket", ("le", "1.0"), ("route", "/predict"), ("status", "200")] >= 3


def test_deferred_decisions_are_activated_over_http(platform):
    url = platform.endpoint.url()
    response = requests.post(f"{url}/activate", json={"event_ids": ["a", "b"]}, timeout=10)
    assert (response.status_code, response.json()) == (202, {"accepted": 2})
    for wrong in ({}, {"event_ids": []}, {"event_ids": [1]}, {"event_ids": [""]}):
        response = requests.post(f"{url}/activate", json=wrong, timeout=10)
        assert response.status_code == 400, wrong


def test_more_than_there_is_room_for_is_told_to_come_again_and_takes_no_memory(platform):
    """Twice what fits, at a time."""
    url, body = platform.endpoint.url(), json.dumps(BODY).encode().rjust(LARGEST_BODY)
    with ThreadPoolExecutor(2 * ROOM // LARGEST_BODY) as pool:
        asked = [pool.submit(requests.post, f"{url}/predict", data=body, timeout=60) for _ in range(32)]
    failures = [one.exception() for one in asked if one.exception()]
    assert all(isinstance(failure, requests.ConnectionError) for failure in failures)  # refused before it had all sent
    answers = [one.result() for one in asked if not one.exception()]
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
    wait_until(lambda: requests.post(f"{url}/predict", json=BODY, timeout=10).ok)
    [server] = Path(platform.scratch.parent).glob("endpoints/*/server.json")
    status = Path(f"/proc/{json.loads(server.read_text())['pid']}/status").read_text()
    [most] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert int(most) < (4 * ROOM) >> 10  # bodies, and what is made of one


def test_a_guard_lets_in_what_there_is_room_for():
    guard = Guard(None, largest=100, room=150, at_once=2)

    def body(*parts, length=0):
        return asyncio.run(guard.body([(b"content-length", b"%d" % length)], arriving(*parts)))

    first = body(b"x" * 60, b"x" * 40)
    with pytest.raises(Refused, match="no room") as refused:  # by what it says of its length
        body(length=60)
    assert (refused.value.status, refused.value.headers[b"retry-after"]) == (429, b"1")
    with pytest.raises(Refused, match="no room"):  # by what comes
        body(b"x" * 40, b"x" * 20)
    second = body(b"x" * 50)
    with pytest.raises(Refused, match="2 requests are being answered"):
        body(b"")
    assert (guard.bytes, guard.requests) == (150, 2)
    guard.left(len(first))
    guard.left(len(second))
    for parts, length in (((b"x" * 101,), 0), ((), 101)):
        with pytest.raises(Refused) as refused:
            body(*parts, length=length)
        assert refused.value.status == 413
    assert (guard.bytes, guard.requests) == (0, 0)


def test_a_busy_endpoint_still_says_that_it_is_well_without_reading_what_comes_with_the_question():
    async def well(body):
        return json_reply({"body": body.decode()})

    async def never():
        raise AssertionError("nobody reads this")

    routes = {"/health": Route(well, "GET", open_to_all=True), "/predict": Route(well)}
    app, sent = create_app(routes, Guard(None, at_once=0), lambda *request: None, None), []

    async def send(message):
        sent.append(message)

    for method, path in (("GET", "/health"), ("POST", "/predict")):
        asyncio.run(app({"type": "http", "method": method, "path": path, "headers": []}, never, send))
    assert [message["status"] for message in sent if "status" in message] == [200, 429]


def test_a_body_that_stops_is_not_taken_for_whole():
    guard, gone = Guard(None), {"type": "http.disconnect"}

    async def stop():
        raise TimeoutError

    with pytest.raises(Refused, match="stops on its way") as refused:
        asyncio.run(guard.body([], arriving(b"[", then=stop)))
    assert refused.value.status == 408
    with pytest.raises(Refused, match="before its end"):
        asyncio.run(guard.body([], arriving(b"[", then=lambda: asyncio.sleep(0, gone))))
    assert (guard.bytes, guard.requests) == (0, 0)


def arriving(*parts, then=None):
    """A body that comes in parts; `then` says what comes after them, else nothing is to come."""
    more = [{"type": "http.request", "body": part, "more_body": True} for part in parts or [b""]]
    more[-1]["more_body"] = then is not None

    async def receive():
        return more.pop(0) if more else await then()

    return receive


def test_what_comes_at_once_is_answered_together_and_large_batches_let_others_through():
    rounds = []

    def answer(asked):
        rounds.append(asked)
        return [ValueError(size) if size == 7 else 2 * size for size in asked]

    async def ask_all(*sizes):
        batch = MicroBatch(answer, lambda size: size, enough=10)
        return await asyncio.gather(*(batch.ask(size) for size in sizes), return_exceptions=True)

    one, seven, six, three, eight = asyncio.run(ask_all(1, 7, 6, 3, 8))
    assert rounds == [[1, 7, 6], [3, 8]]
    assert (one, six, three, eight) == (2, 12, 6, 16)
    assert isinstance(seven, ValueError)


def test_it_answers_what_has_come_before_it_stops_and_publishes_all_it_answered(tmp_path):
    config = make_config(tmp_path)
    platform, answered, refused = connect(config), [], []
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")

    def ask_until_it_is_gone(url):
        with requests.Session() as session:
            while True:
                try:
                    response = session.post(f"{url}/predict", json=BODY, timeout=10)
                except requests.ConnectionError:
                    return
                (answered if response.status_code == 200 else refused).extend(response.json()["predictions"])

    with process(config, "-m", "functions.predictor") as server:
        wait_until(platform.endpoint.serving)
        users = [threading.Thread(target=ask_until_it_is_gone, args=(platform.endpoint.url(),)) for _ in range(8)]
        for user in users:
            user.start()
        wait_until(lambda: len(answered) > 200)
        server.send_signal(signal.SIGTERM)
        for user in users:
            user.join()
        assert server.wait(20) in (0, -signal.SIGTERM)
    assert not refused
    logged = []
    while platform.bus.deliver("decisions", lambda p: logged.extend(decode(DECISION, x)["event_id"] for x in p)):
        pass
    assert {one["event_id"] for one in answered} <= {i for ids in logged for i in ids.to_pylist()}
    assert not list((platform.scratch / "outbox").glob("*/*"))


def test_logs_are_json_lines_with_the_ids_of_event_and_policy(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    variables = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict()), "BANDITLOOP_LOG_LEVEL": "DEBUG"}
    command = [sys.executable, "-m", "functions.predictor"]
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as server:
        wait_until(platform.endpoint.serving)
        [answer] = platform.endpoint.predict(BODY["instances"])
        server.terminate()
        lines = [json.loads(line) for line in server.stderr.read().splitlines()]
    [line] = [line for line in lines if line.get("event_id") == answer["event_id"]]
    assert line["message"] == "decided"
    assert line["severity"] == "DEBUG"
    assert line["policy_version"] == answer["policy_version"]


def test_a_log_level_that_is_none_is_named(tmp_path):
    config = json.dumps(make_config(tmp_path).to_dict())
    variables = os.environ | {ENVIRONMENT_VARIABLE: config, "BANDITLOOP_LOG_LEVEL": "loud"}
    command = [sys.executable, "-m", "functions.predictor"]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith("banditloop: $BANDITLOOP_LOG_LEVEL = 'loud': is not one of: ")
