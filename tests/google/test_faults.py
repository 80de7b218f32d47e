"""Faults of Google Cloud: refused calls and lost responses lose and duplicate nothing; errors are one line."""

import contextlib
import os
import random
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1

from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.policies.release import Release, Verdict
from tests.conftest import decisions, make_policy, vector_decisions
from tests.ports.conftest import google, kfp, kubeflow
from tests.support.containers import IMAGE
from tests.support.processes import process, wait_until
from tests.support.proxy import Request, Response, proxy

TRANSIENT = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED]


@contextlib.contextmanager
def unreliable(address: str):
    """A proxy that refuses a seventh of the requests with 503 and drops the responses of another seventh."""
    draws, faults = random.Random(0), {"refused": 0, "lost": 0}

    def handler(request: Request, forward) -> Response | None:
        outcome = draws.randrange(7)
        if outcome == 1:
            faults["refused"] += 1
            return Response(503, {"content-type": "application/json"}, b'{"error": {"code": 503}}')
        response = forward(request)
        if outcome == 3:
            faults["lost"] += 1
            return None
        return response

    with proxy(address, handler) as proxy_address:
        yield proxy_address, faults


def test_bigquery_stores_every_event_once_despite_failures_and_lost_responses(tmp_path, monkeypatch):
    config = google(tmp_path)
    connect(config).warehouse.append("decisions", decisions(["0-0"], mode="simulated"))
    with unreliable(os.environ["BIGQUERY_EMULATOR_HOST"]) as (address, faults):
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", address)
        warehouses = [connect(config).warehouse for _ in range(2)]

        def append(step: int) -> int:
            events = decisions([f"{step // 2}-{i}" for i in range(10)], mode="simulated")
            return warehouses[step % 2].append("decisions", events)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(append, range(12)))
    assert min(faults.values()) >= 5
    monkeypatch.undo()
    platform = connect(config)
    window = platform.warehouse.window(None)
    ids = [i for batch in platform.warehouse.interactions(window) for i in batch["event_id"].to_pylist()]
    assert sorted(ids) == sorted(f"{batch}-{i}" for batch in range(6) for i in range(10))
    counts = platform.warehouse.event_counts()
    assert counts.received["decisions"] - counts.duplicate["decisions"] == 60


def test_a_release_whose_response_is_lost_is_stored_once(tmp_path, monkeypatch):
    """The client repeats the write, and finds the object replaced: by itself."""
    config, lost = google(tmp_path), []
    make_policy(tmp_path / "policy")
    version = connect(config).endpoint.add(tmp_path / "policy")

    def lose_first(request: Request, forward) -> Response | None:
        response = forward(request)
        is_first = request.path.startswith("/upload/") and response.status == 200 and not lost
        return lost.append(request.path) if is_first else response

    with proxy(os.environ["STORAGE_EMULATOR_HOST"], lose_first) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        verdict = Verdict(version=version, champion="", decision="promote", by="evaluator", reason="better")
        assert connect(config).endpoint.set_release(None, Release(champion=version), verdict)
    assert len(lost) == 1
    monkeypatch.undo()
    assert [stored.reason for stored in connect(config).endpoint.verdicts()] == ["better"]


def test_consecutive_loggers_log_every_event_once(tmp_path):
    config = google(tmp_path)
    platform = connect(config)

    def publish(numbers):
        for number in numbers:
            platform.bus.publish("decisions", encode(vector_decisions([f"event-{number}"], mode="simulated")))

    def logged():
        counts = platform.warehouse.event_counts()
        return counts.received["decisions"], counts.duplicate["decisions"]

    publish(range(20))
    with process(config, "-m", "banditloop.functions.logger"):
        wait_until(lambda: logged() == (20, 0))
        publish(range(20, 40))
    publish(range(40, 60))
    with process(config, "-m", "banditloop.functions.logger"):
        wait_until(lambda: logged() == (60, 0))
    assert platform.bus.deliver("decisions", lambda payloads: None) == 0


def test_a_failed_stream_raises_its_error_and_is_reopened(tmp_path):
    config = google(tmp_path)
    bus, payloads = connect(config).bus, []
    subscription = f"projects/{config.backend.project}/subscriptions/{config.backend.endpoint}-decisions"

    def delivered():
        with contextlib.suppress(PlatformError):
            return bus.deliver("decisions", payloads.extend)

    with bus.subscribe(["decisions"]):
        bus.publish("decisions", b"1")
        wait_until(delivered)
        pubsub_v1.SubscriberClient(credentials=AnonymousCredentials()).delete_subscription(subscription=subscription)
        with pytest.raises(PlatformError, match=r"^Google Cloud: NotFound: "):
            wait_until(lambda: bus.deliver("decisions", payloads.extend), 30)
        connect(config).bus.publish("decisions", b"2")  # creates the subscription again
        wait_until(delivered)
    assert payloads == [b"1", b"2"]


def test_transient_errors_of_vertex_ai_are_retried(tmp_path, own_vertex):
    config = google(tmp_path)
    platform = connect(config)
    template, _ = compile_pipelines(tmp_path / "pipelines", image=IMAGE)
    own_vertex.faults = TRANSIENT * 2
    assert platform.runner.submit(template, {"config": config.to_dict()}, "run")
    assert [run.run_id for run in platform.runner.runs()] == ["run"]
    own_vertex.faults = TRANSIENT * 2
    platform.runner.schedule("nightly", "0 3 * * *", template, {"config": config.to_dict()})
    assert [schedule.name for schedule in platform.runner.schedules()] == ["nightly"]
    assert own_vertex.faults == []
    platform = connect(google(tmp_path / "policy"))  # another endpoint: the run above has started
    make_policy(tmp_path / "policy")
    version = platform.endpoint.add(tmp_path / "policy")
    own_vertex.faults = TRANSIENT * 2
    platform.endpoint.set_release(None, Release(champion=version))
    wait_until(lambda: platform.endpoint.serving_versions() == [version])  # once the server has reported
    assert platform.endpoint.release() == Release(champion=version)


def test_transient_errors_of_kubeflow_pipelines_are_retried(tmp_path):
    """For the experiment, the run and the schedule, one creation is refused and the response of another is lost."""
    config = kfp(tmp_path)
    runner = connect(config).runner
    template, _ = compile_pipelines(tmp_path / "pipelines", image=IMAGE)
    kubeflow().faults = [503, 500, 503, 500]
    assert runner.submit(template, {"config": config.to_dict()}, "run")
    assert not connect(config).runner.submit(template, {"config": config.to_dict()}, "run")
    assert [run.run_id for run in runner.runs()] == ["run"]
    kubeflow().faults = [503, 500]
    runner.schedule("nightly", "0 3 * * *", template, {"config": config.to_dict()})
    assert kubeflow().faults == []
    assert [schedule.name for schedule in runner.schedules()] == ["nightly"]
    kubeflow().faults = [503, 500]
    runner.unschedule("nightly")
    assert runner.schedules() == []
    kubeflow().faults = [403]
    with pytest.raises(PlatformError, match=r"^Kubeflow Pipelines: ApiException: .*injected failure"):
        runner.schedule("nightly", "0 3 * * *", template, {"config": config.to_dict()})


@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "PERMISSION_DENIED"])
def test_a_persistent_error_is_raised_in_one_line(tmp_path, own_vertex, monkeypatch, status):
    monkeypatch.setattr("banditloop.rl_core.backends.retries.RETRY_SECONDS", 1.0)
    runner = connect(google(tmp_path)).runner
    own_vertex.faults, calls_before = [grpc.StatusCode[status]] * 1000, own_vertex.calls
    with pytest.raises(PlatformError, match=r"^Google Cloud: \w+: .*injected failure") as error:
        runner.runs()
    assert "\n" not in str(error.value)
    assert (own_vertex.calls - calls_before > 1) == (status == "RESOURCE_EXHAUSTED")
