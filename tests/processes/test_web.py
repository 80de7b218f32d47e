"""The HTTP endpoint: routes, limits, overload, metrics, batching, shutdown and logs."""

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

from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.schema import decision_schema
from banditloop.rl_core.serving.http.admission import MAX_BODY_BYTES, MAX_BYTES_IN_FLIGHT, Admission, HttpError
from banditloop.rl_core.serving.http.app import Route, create_app, json_response
from banditloop.rl_core.serving.microbatch import MicroBatch
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.conftest import deploy, make_config, make_policy
from tests.support.processes import process, served, wait_until

BODY = {"instances": [[0.1] * 20]}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with served(tmp_path_factory.mktemp("web")) as platform:
        yield platform


def metrics(url):
    """The exported metrics by name and labels."""
    response = requests.get(f"{url}/metrics", timeout=10)
    assert response.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(response.text)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/nowhere", 404, "/nowhere: is not one of: /predict, /reward"),
        ("GET", "/predict", 405, "/predict: use POST"),
        ("POST", "/health", 405, "/health: use GET"),
    ],
)
def test_unknown_routes_and_methods_are_named(platform, method, path, status, message):
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

    def increase(*key):
        return after[key] - before.get(key, 0)

    count = "banditloop_request_seconds_count"
    assert increase(count, ("route", "/predict"), ("status", "200")) == 3
    assert increase(count, ("route", "/predict"), ("status", "400")) == 1
    assert increase(count, ("route", "other"), ("status", "404")) == 1
    assert increase("banditloop_decisions_total", ("version", "v1-00000000")) == 3
    assert after["banditloop_failures_total", ("version", "v1-00000000")] == 0
    wait_until(lambda: metrics(url)["banditloop_outbox_bytes", ("topic", "decisions")] == 0)
    assert after["banditloop_request_seconds_bucket", ("le", "1.0"), ("route", "/predict"), ("status", "200")] >= 3


def test_deferred_decisions_are_activated_over_http(platform):
    url = platform.endpoint.url()
    response = requests.post(f"{url}/activate", json={"event_ids": ["a", "b"]}, timeout=10)
    assert (response.status_code, response.json()) == (202, {"accepted": 2})
    for body in ({}, {"event_ids": []}, {"event_ids": [1]}, {"event_ids": [""]}):
        response = requests.post(f"{url}/activate", json=body, timeout=10)
        assert response.status_code == 400, body


def test_overload_is_answered_with_retry_after_and_bounded_memory(platform):
    """With twice as many concurrent bytes as are admitted."""
    url, body = platform.endpoint.url(), json.dumps(BODY).encode().rjust(MAX_BODY_BYTES)
    with ThreadPoolExecutor(2 * MAX_BYTES_IN_FLIGHT // MAX_BODY_BYTES) as pool:
        futures = [pool.submit(requests.post, f"{url}/predict", data=body, timeout=60) for _ in range(32)]
    failures = [future.exception() for future in futures if future.exception()]
    # connections closed before the whole body was sent
    assert all(isinstance(failure, requests.ConnectionError) for failure in failures)
    answers = [future.result() for future in futures if not future.exception()]
    assert {answer.status_code for answer in answers} <= {200, 408, 429}  # 408: a slow machine sends a body slowly
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
    wait_until(lambda: requests.post(f"{url}/predict", json=BODY, timeout=10).ok)
    [server] = Path(platform.scratch.parent).glob("endpoints/*/server.json")
    status = Path(f"/proc/{json.loads(server.read_text())['pid']}/status").read_text()
    [peak_kib] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert int(peak_kib) < (4 * MAX_BYTES_IN_FLIGHT) >> 10  # bodies, and one of them parsed


def test_admission_limits_bytes_and_requests_in_flight():
    admission = Admission(None, max_body_bytes=100, max_bytes_in_flight=150, max_requests_in_flight=2)

    def body(*parts, length=0):
        return asyncio.run(admission.read_body([(b"content-length", b"%d" % length)], arriving(*parts)))

    first = body(b"x" * 60, b"x" * 40)
    with pytest.raises(HttpError, match="too many bytes are in flight") as error:  # by its content length
        body(length=60)
    assert (error.value.status, error.value.headers[b"retry-after"]) == (429, b"1")
    with pytest.raises(HttpError, match="too many bytes are in flight"):  # by the received bytes
        body(b"x" * 40, b"x" * 20)
    second = body(b"x" * 50)
    with pytest.raises(HttpError, match="2 requests are in flight"):
        body(b"")
    assert (admission.bytes_in_flight, admission.requests_in_flight) == (150, 2)
    admission.release(len(first))
    admission.release(len(second))
    for parts, length in (((b"x" * 101,), 0), ((), 101)):
        with pytest.raises(HttpError) as error:
            body(*parts, length=length)
        assert error.value.status == 413
    assert (admission.bytes_in_flight, admission.requests_in_flight) == (0, 0)


def test_health_is_answered_under_overload_without_reading_the_body():
    async def health(body):
        return json_response({"body": body.decode()})

    async def receive():
        raise AssertionError("the body was read")

    routes = {"/health": Route(health, "GET", public=True), "/predict": Route(health)}
    app, sent = create_app(routes, Admission(None, max_requests_in_flight=0), lambda *request: None, None), []

    async def send(message):
        sent.append(message)

    for method, path in (("GET", "/health"), ("POST", "/predict")):
        asyncio.run(app({"type": "http", "method": method, "path": path, "headers": []}, receive, send))
    assert [message["status"] for message in sent if "status" in message] == [200, 429]


def test_an_incomplete_body_is_refused():
    admission, disconnect = Admission(None), {"type": "http.disconnect"}

    async def time_out():
        raise TimeoutError

    with pytest.raises(HttpError, match="did not arrive in time") as error:
        asyncio.run(admission.read_body([], arriving(b"[", then=time_out)))
    assert error.value.status == 408
    with pytest.raises(HttpError, match="before the end of the body"):
        asyncio.run(admission.read_body([], arriving(b"[", then=lambda: asyncio.sleep(0, disconnect))))
    assert (admission.bytes_in_flight, admission.requests_in_flight) == (0, 0)


def arriving(*parts, then=None):
    """An ASGI receive function for a body in parts; `then` is awaited after them, without it the body is complete."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts or [b""]]
    messages[-1]["more_body"] = then is not None

    async def receive():
        return messages.pop(0) if messages else await then()

    return receive


def test_concurrent_requests_are_answered_in_batches_of_the_target_size():
    batches = []

    def answer(sizes):
        batches.append(sizes)
        return [ValueError(size) if size == 7 else 2 * size for size in sizes]

    async def submit_all(*sizes):
        batch = MicroBatch(answer, lambda size: size, target_size=10)
        return await asyncio.gather(*(batch.submit(size) for size in sizes), return_exceptions=True)

    one, seven, six, three, eight = asyncio.run(submit_all(1, 7, 6, 3, 8))
    assert batches == [[1, 7, 6], [3, 8]]
    assert (one, six, three, eight) == (2, 12, 6, 16)
    assert isinstance(seven, ValueError)


def test_whatever_is_raised_each_request_gets_its_own_answer():
    class Panic(BaseException):
        """An error that is no Exception, such as a panic in a library of Rust."""

    def answer(requests):
        if "panic" in requests:
            raise Panic
        return [request.upper() for request in requests]

    async def submit_all():
        batch = MicroBatch(answer, len, target_size=3)
        with pytest.raises(TypeError):
            batch.submit(None)  # which has no size
        return await asyncio.gather(*(batch.submit(r) for r in ("abc", "panic", "def")), return_exceptions=True)

    first, second, third = asyncio.run(submit_all())
    assert (first, type(second), third) == ("ABC", Panic, "DEF")


def test_shutdown_answers_pending_requests_and_publishes_all_decisions(tmp_path):
    config = make_config(tmp_path)
    platform, answered, refused = connect(config), [], []
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")

    def send_until_shutdown(url):
        with requests.Session() as session:
            while True:
                try:
                    response = session.post(f"{url}/predict", json=BODY, timeout=10)
                except requests.ConnectionError:
                    return
                (answered if response.status_code == 200 else refused).extend(response.json()["predictions"])

    with process(config, "-m", "banditloop.functions.predictor") as server:
        wait_until(platform.endpoint.serving_versions)
        users = [threading.Thread(target=send_until_shutdown, args=(platform.endpoint.url(),)) for _ in range(8)]
        for user in users:
            user.start()
        wait_until(lambda: len(answered) > 200)
        server.send_signal(signal.SIGTERM)
        for user in users:
            user.join()
        assert server.wait(20) in (0, -signal.SIGTERM)
    assert not refused
    logged, schema = [], decision_schema(config.task)
    while platform.bus.deliver("decisions", lambda p: logged.extend(decode(schema, x)["event_id"] for x in p)):
        pass
    assert {answer["event_id"] for answer in answered} <= {i for ids in logged for i in ids.to_pylist()}
    assert not list((platform.scratch / "outbox").glob("*/*"))


def test_logs_are_json_lines_with_the_ids_of_event_and_policy(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    variables = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict()), "BANDITLOOP_LOG_LEVEL": "DEBUG"}
    command = [sys.executable, "-m", "banditloop.functions.predictor"]
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as server:
        wait_until(platform.endpoint.serving_versions)
        [answer] = platform.endpoint.predict(BODY["instances"])
        server.terminate()
        lines = [json.loads(line) for line in server.stderr.read().splitlines()]
    [line] = [line for line in lines if line.get("event_id") == answer.event_id]
    assert line["message"] == "decided"
    assert line["severity"] == "DEBUG"
    assert line["policy_version"] == answer.policy_version


def test_an_unknown_log_level_is_refused(tmp_path):
    config = json.dumps(make_config(tmp_path).to_dict())
    variables = os.environ | {ENVIRONMENT_VARIABLE: config, "BANDITLOOP_LOG_LEVEL": "loud"}
    command = [sys.executable, "-m", "banditloop.functions.predictor"]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith("banditloop: $BANDITLOOP_LOG_LEVEL = 'loud': is not one of: ")
