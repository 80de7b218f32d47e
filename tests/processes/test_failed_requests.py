"""Failed requests free their bodies at once: they leave no reference cycles, which a garbage collection frees later."""

import asyncio
import gc
import json
import logging

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.http.admission import Admission
from banditloop.rl_core.serving.http.endpoint import Predictor
from banditloop.rl_core.serving.known_answers import KnownAnswers
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.release_follower import ReleaseFollower
from banditloop.rl_core.serving.worker_counts import WorkerCounts
from tests.conftest import deploy, make_config, make_policy

VECTOR = [0.1] * 20
WITH_ID = {"request_id": "0123456789abcdef"}
BODIES = {
    "a text in a vector": (400, {"instances": [["x"] * 20]}),
    "a vector that is too short": (400, {"instances": [VECTOR[1:]]}),
    "features that the task does not have": (400, {"instances": [{"context": {"x": 1}}]}),
    "an unknown action": (400, {"instances": [{"observation": VECTOR, "action": "x"}]}),
    "an unknown candidate": (400, {"instances": [{"observation": VECTOR, "actions": ["x"]}]}),
    "all actions excluded": (400, {"instances": [{"observation": VECTOR, "exclude": [str(k) for k in range(20)]}]}),
    "a step without an episode": (400, {"instances": [{"observation": VECTOR, "step": 1}]}),
    "an option of a wrong type": (400, {"instances": [{"observation": VECTOR, "user": 1}]}),
    "a wrong vector with an id": (400, {"instances": [["x"] * 20], "parameters": WITH_ID}),
    "an id of another request": (409, {"instances": [VECTOR, VECTOR], "parameters": WITH_ID}),
    "no instances": (400, {}),
}


class Disk(Outbox):
    """An outbox whose disk fails with an error."""

    error: type[Exception] | None = None

    def put(self, events):
        if self.error:
            raise self.error("as said")
        super().put(events)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    return Disk(tmp_path_factory.mktemp("disk") / "decisions")


@pytest.fixture(scope="module")
def app(disk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("failed")
    config = make_config(folder)
    platform = connect(config)
    make_policy(folder / "policy")
    deploy(platform.endpoint, folder / "policy")
    follower, catalogue = ReleaseFollower(platform.endpoint, WorkerCounts()), Catalogue(config.task)
    follower.refresh()
    rewards, answers = Outbox(folder / "rewards"), KnownAnswers(folder / "answers.jsonl")
    predictor = Predictor(follower, catalogue, disk, rewards, answers, config, WorkerCounts(), None)
    return predictor.app(Admission(None, max_body_bytes=10_000), "/predict", "/health")


@pytest.fixture(scope="module")
def runner():
    """An event loop for all requests, as an endpoint has."""
    with asyncio.Runner() as runner:
        yield runner


def statuses(runner, app, path, *bodies):
    """The statuses of the responses, and the number of objects that only a garbage collection frees after the last."""

    async def respond(body):
        sent, parts = [], [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return parts.pop()

        async def send(message):
            sent.append(message)

        await app({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
        return sent[0]["status"]

    async def respond_to_all():
        answered = [await respond(body) for body in bodies[:-1]]
        gc.collect()
        answered.append(await respond(bodies[-1]))
        await asyncio.sleep(0)  # the event loop lets go of the last callbacks
        return answered, gc.collect()

    gc.disable()
    try:
        return runner.run(respond_to_all())
    finally:
        gc.enable()


@pytest.mark.parametrize("name", BODIES)
def test_a_wrong_request_is_freed(runner, app, name):
    status, wrong = BODIES[name]
    valid = {"instances": [VECTOR], "parameters": WITH_ID}
    # The first wrong one makes what is made once in a process, which may push other tests' classes out of caches.
    bodies = [json.dumps(body).encode() for body in (valid, wrong, wrong)]
    assert statuses(runner, app, "/predict", *bodies) == ([200, status, status], 0)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict", b"{", 400),
        ("/reward", b"{}", 400),
        ("/activate", b"[]", 400),
        ("/nowhere", b"", 404),
        ("/predict", b" " * 20_000, 413),
    ],
)
def test_a_refused_request_is_freed(runner, app, path, body, status):
    assert statuses(runner, app, path, body, body) == ([status, status], 0)


@pytest.mark.parametrize(("error", "status"), [(OSError, 503), (RuntimeError, 500)])
def test_a_request_that_the_endpoint_fails_on_is_freed(runner, app, disk, monkeypatch, error, status):
    monkeypatch.setattr(disk, "error", error)
    monkeypatch.setattr(logging.getLogger("banditloop.web"), "disabled", True)  # pytest keeps what is logged
    body = json.dumps({"instances": [VECTOR]}).encode()
    assert statuses(runner, app, "/predict", body, body) == ([status, status], 0)
