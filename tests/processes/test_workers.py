"""Workers of the predictor: they share port, ids and counts, and kill -9 of either loses nothing that was answered."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.schema import decision_schema
from banditloop.rl_core.promotion.transitions import promote
from banditloop.rl_core.serving import workers as workers_above
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.outbox_publisher import outbox_folder
from banditloop.rl_core.serving.worker_counts import WorkerCounts
from banditloop.rl_core.settings.secrets import TOKEN
from tests.conftest import deploy, make_config, make_policy, vector_task
from tests.support.processes import free_port, process, wait_until

CLIENTS, IDS = 8, 20


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("workers"), serving={"workers": 2, "port": free_port()})


@pytest.fixture(scope="module")
def platform(config, tmp_path_factory):
    platform, policy = connect(config), tmp_path_factory.mktemp("policy") / "policy"
    make_policy(policy)
    deploy(platform.endpoint, policy)
    return platform


@pytest.fixture(scope="module")
def parent(config, platform):
    with process(config, "-m", "banditloop.functions.predictor") as parent:
        wait_until(lambda: running(platform) == 2)
        yield parent


def metrics(platform):
    """The samples by name and labels."""
    text = requests.get(f"{platform.endpoint.url()}/metrics", timeout=30).text
    families = text_string_to_metric_families(text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def running(platform):
    with contextlib.suppress(Exception):
        return metrics(platform)[("banditloop_workers",)]
    return 0


def total(samples, name):
    return sum(value for (sample, *_), value in samples.items() if sample == name)


def workers(parent):
    """The process id of each worker."""
    pids = {}
    for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split():
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if "--worker" in arguments:
            pids[int(arguments[arguments.index("--worker") + 1])] = int(pid)
    return pids


def ask(session, platform, event_id, number=0.0):
    body = {"instances": [{"observation": [number] * 20, "event_id": event_id}]}
    return session.post(f"{platform.endpoint.url()}/predict", json=body, timeout=60)


def ask_all(platform, ids, asked_by=range(CLIENTS)):
    """The answers to each id from clients that ask at the same time, each with a connection of its own."""

    def answers(_):
        with requests.Session() as session:
            return [ask(session, platform, event_id).json()["predictions"][0] for event_id in ids]

    with ThreadPoolExecutor(len(asked_by)) as clients:
        return list(zip(*clients.map(answers, asked_by), strict=True))


def logged(platform):
    """The decisions on the bus, once all are published."""
    tables, schema = [], decision_schema(vector_task())
    wait_until(lambda: not Outbox(outbox_folder(platform.scratch, "decisions")).pending_bytes())
    while platform.bus.deliver("decisions", lambda payloads: tables.extend(decode(schema, x) for x in payloads)):
        pass
    return [row for table in tables for row in table.to_pylist()]


def test_an_id_gets_one_answer_from_all_workers_and_counts_add_up(parent, platform):
    before = metrics(platform)
    for answers in ask_all(platform, [f"same {number}" for number in range(IDS)]):
        assert all(answer == answers[0] for answer in answers)
    after = metrics(platform)

    def increase(*key):
        return after[key] - before.get(key, 0)

    assert increase("banditloop_request_seconds_count", "/predict", "200") == CLIENTS * IDS
    assert increase("banditloop_decisions_total", "v1-00000000") == IDS
    assert total(after, "banditloop_worker_requests_total") == total(after, "banditloop_request_seconds_count")
    assert len(logged(platform)) == IDS


def test_both_workers_answer_and_each_knows_whose_an_id_is(parent, platform):
    first = ask(requests, platform, "known").json()
    for worker in "0", "1":
        before = metrics(platform)[("banditloop_worker_requests_total", worker)]
        for _ in range(1000):  # each on a connection of its own
            assert ask(requests, platform, "known").json() == first
            assert ask(requests, platform, "known", 1.0).status_code == 409
            if metrics(platform)[("banditloop_worker_requests_total", worker)] > before + 3:
                break
        else:
            raise AssertionError(f"worker {worker} does not answer")
    assert [row["event_id"] for row in logged(platform)] == ["known"]


def test_connections_that_come_at_once_are_spread_over_the_workers(parent, platform):
    address = platform.endpoint.url().removeprefix("http://").split(":")

    def are_even():
        before = metrics(platform)[("banditloop_worker_requests_total", "0")]
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket()) for _ in range(32)]
            for client in clients:
                client.connect((address[0], int(address[1])))
            for client in clients:
                client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 200"
        return 12 <= metrics(platform)[("banditloop_worker_requests_total", "0")] - before <= 22

    wait_until(are_even)  # on a busy machine, one may get them while the other does not run


def test_health_is_that_of_all_workers(parent, platform):
    vitals = platform.endpoint.vitals()["v1-00000000"]
    assert vitals.decisions == metrics(platform)[("banditloop_decisions_total", "v1-00000000")] > 0
    assert vitals.failures == 0


@pytest.mark.slow
def test_kill_9_of_either_worker_loses_no_answer_and_counts_stay_exact(parent, platform):
    before, stopping = metrics(platform), threading.Event()

    def send(client):
        """Ask for new ids until the end, each until it is answered; returns the answers and the number of attempts."""
        answers, attempts = {}, 0
        session = requests.Session()
        while not stopping.is_set():
            event_id = f"{client} {len(answers)}"
            attempts += 1
            try:
                answers[event_id] = ask(session, platform, event_id).json()["predictions"][0]
            except requests.ConnectionError:
                session = requests.Session()
            time.sleep(0.01)
        return answers, attempts

    with ThreadPoolExecutor(CLIENTS) as clients:
        futures = [clients.submit(send, client) for client in range(CLIENTS)]
        for worker in 0, 1:
            killed = workers(parent)[worker]
            answered = metrics(platform)[("banditloop_worker_requests_total", str(worker))]
            wait_until(lambda w=str(worker), n=answered: metrics(platform)[("banditloop_worker_requests_total", w)] > n)
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda worker=worker, killed=killed: workers(parent).get(worker, killed) != killed)
            wait_until(lambda: running(platform) == 2)
        stopping.set()
        sent = [future.result() for future in futures]
    after, attempts = metrics(platform), sum(attempts for _, attempts in sent)
    answers = {event_id: answer for answers, _ in sent for event_id, answer in answers.items()}
    rows = logged(platform)
    assert {row["event_id"] for row in rows} == answers.keys()
    for row in rows:  # an id may be there twice: the retry of a request whose worker was killed
        answer = answers[row["event_id"]]
        assert (row["action"], row["propensity"]) == (str(answer["action"]), answer["propensity"])
    for key in ("banditloop_request_seconds_count", "/predict", "200"), ("banditloop_decisions_total", "v1-00000000"):
        assert len(answers) <= after[key] - before.get(key, 0) <= attempts


def test_an_id_keeps_its_answer_when_the_release_changes(parent, platform, tmp_path):
    ids = [f"before {number}" for number in range(IDS)]
    before = ask_all(platform, ids)
    make_policy(tmp_path / "policy", generation=2, seed=7)
    version = platform.endpoint.add(tmp_path / "policy")
    promote(platform.endpoint, version)
    wait_until(lambda: platform.endpoint.serving_versions() == [version])  # all workers serve it
    assert ask_all(platform, ids) == before
    assert all(answer["policy_version"] == version for [answer] in ask_all(platform, ["after"], [0]))


@pytest.mark.slow
def test_workers_end_with_their_predictor_and_another_takes_the_port(config, parent, platform):
    left = workers(parent).values()
    parent.kill()
    parent.wait()
    with process(config, "-m", "banditloop.functions.predictor"):
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
        wait_until(lambda: running(platform) == 2)
        assert ask(requests, platform, "another").ok


@pytest.mark.parametrize(("beats", "status"), [(False, -signal.SIGKILL), (True, 0)])
def test_a_worker_that_hangs_is_killed(beats, status, monkeypatch):
    monkeypatch.setattr(workers_above, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(workers_above, "PATIENCE_SECONDS", 0.1)
    counts = WorkerCounts()

    async def ended():
        worker = await asyncio.create_subprocess_exec("sleep", "0.6" if beats else "60")
        ending = asyncio.create_task(workers_above._status(worker, 0, counts))
        while not ending.done():
            if beats:
                counts.beat(is_serving=True)
            await asyncio.sleep(0.01)
        return ending.result()

    assert asyncio.run(ended()) == status


def test_an_unexpected_error_ends_the_predictor_as_a_crash(caplog):
    """It is logged, and the status is not that of a wrong config. No process can have an argument with a null."""
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(SystemExit) as end:
        workers_above.run_workers(["\0"], listener, 2)
    assert end.value.code == 1
    assert "embedded null byte" in caplog.text


@pytest.mark.slow
def test_a_worker_whose_input_is_wrong_ends_the_predictor(config, platform):
    with process(config, "-m", "banditloop.functions.predictor", **{TOKEN: "two\nlines"}) as parent:
        assert parent.wait(120) == 2
