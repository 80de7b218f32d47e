"""Faults between here and Google Cloud: refused and lost answers lose nothing, double nothing, and end in a line."""

import contextlib
import os
import random
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1

from pipelines.compiling import compile_pipelines
from rl_core.backends import connect
from rl_core.errors import PlatformError
from rl_core.release import Release
from rl_core.schema import encode
from tests.conftest import decisions, make_policy
from tests.containers import IMAGE
from tests.ports.conftest import google, kfp, kubeflow, vertex
from tests.processes import process, wait_until
from tests.proxy import Answer, Request, proxy

PASSING = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED]


@contextlib.contextmanager
def unreliable(address: str):
    """A proxy that answers a seventh of the requests with 503, and of another one loses the answers."""
    draws, faults = random.Random(0), {"refused": 0, "lost": 0}

    def around(request: Request, forward) -> Answer | None:
        turn = draws.randrange(7)
        if turn == 1:
            faults["refused"] += 1
            return Answer(503, {"content-type": "application/json"}, b'{"error": {"code": 503}}')
        answer = forward(request)
        if turn == 3:
            faults["lost"] += 1
            return None
        return answer

    with proxy(address, around) as here:
        yield here, faults


def test_bigquery_that_fails_and_loses_answers_keeps_every_event_once(tmp_path, monkeypatch):
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
    counts = platform.warehouse.counts()
    assert counts.received["decisions"] - counts.duplicate["decisions"] == 60


def test_loggers_that_follow_each_other_log_every_event_once(tmp_path):
    config = google(tmp_path)
    platform = connect(config)

    def publish(numbers):
        for number in numbers:
            platform.bus.publish("decisions", encode(decisions([f"event-{number}"], mode="simulated")))

    def logged():
        counts = platform.warehouse.counts()
        return counts.received["decisions"], counts.duplicate["decisions"]

    publish(range(20))
    with process(config, "-m", "functions.logger"):
        wait_until(lambda: logged() == (20, 0))
        publish(range(20, 40))
    publish(range(40, 60))
    with process(config, "-m", "functions.logger"):
        wait_until(lambda: logged() == (60, 0))
    assert platform.bus.deliver("decisions", lambda payloads: None) == 0


def test_a_stream_that_ends_says_why_and_begins_anew(tmp_path):
    config = google(tmp_path)
    bus, got = connect(config).bus, []
    subscription = f"projects/{config.backend.project}/subscriptions/{config.backend.endpoint}-decisions"

    def delivered():
        with contextlib.suppress(PlatformError):
            return bus.deliver("decisions", got.extend)

    with bus.receiving(["decisions"]):
        bus.publish("decisions", b"1")
        wait_until(delivered)
        pubsub_v1.SubscriberClient(credentials=AnonymousCredentials()).delete_subscription(subscription=subscription)
        with pytest.raises(PlatformError, match=r"^Google Cloud: NotFound: "):
            wait_until(lambda: bus.deliver("decisions", got.extend), 30)
        connect(config).bus.publish("decisions", b"2")  # which makes the subscription again
        wait_until(delivered)
    assert got == [b"1", b"2"]


def test_vertex_ai_that_fails_for_the_moment_is_asked_again(tmp_path):
    config = google(tmp_path)
    platform = connect(config)
    template, _ = compile_pipelines(tmp_path / "pipelines", image=IMAGE)
    vertex().faults = PASSING * 2
    assert platform.runner.submit(template, {"config": config.to_dict()}, "run")
    assert [run.run_id for run in platform.runner.runs()] == ["run"]
    vertex().faults = PASSING * 2
    platform.runner.schedule("nightly", "0 3 * * *", template, {"config": config.to_dict()})
    assert [schedule.name for schedule in platform.runner.schedules()] == ["nightly"]
    assert vertex().faults == []
    platform = connect(google(tmp_path / "policy"))  # another endpoint: the run above has begun
    make_policy(tmp_path / "policy")
    version = platform.endpoint.add(tmp_path / "policy")
    vertex().faults = PASSING * 2
    platform.endpoint.move(None, Release(champion=version))
    assert platform.endpoint.serving() == [version]
    assert platform.endpoint.release() == Release(champion=version)


def test_kubeflow_pipelines_that_fails_for_the_moment_is_asked_again(tmp_path):
    """Of the experiment, the run and the schedule one creation each is refused, and of another the answer is lost."""
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
    with pytest.raises(PlatformError, match=r"^Kubeflow Pipelines: ApiException: .*it was told to fail"):
        runner.schedule("nightly", "0 3 * * *", template, {"config": config.to_dict()})


@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "PERMISSION_DENIED"])
def test_what_goes_on_failing_is_told_in_one_line(tmp_path, monkeypatch, status):
    monkeypatch.setattr("rl_core.backends.google.patience.PATIENCE_SECONDS", 1.0)
    runner = connect(google(tmp_path)).runner
    vertex().faults, before = [grpc.StatusCode[status]] * 1000, vertex().calls
    with pytest.raises(PlatformError, match=r"^Google Cloud: \w+: .*it was told to fail") as error:
        runner.runs()
    assert "\n" not in str(error.value)
    assert (vertex().calls - before > 1) == (status == "RESOURCE_EXHAUSTED")
    vertex().faults = []
