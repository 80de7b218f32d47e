"""Four loggers, two predictors and a reader at once: it sees whole batches, and its watermark never goes back."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests

from rl_core.backends import PREDICT_ROUTE, Platform, connect
from rl_core.backends.guard import TOKEN
from tests.conftest import deploy, make_config, make_policy
from tests.processes import free_port, process, wait_until

LOGGERS, PREDICTORS, USERS, BATCHES, BATCH = 4, 2, 6, 100, 10


@pytest.fixture
def running(tmp_path):
    """The platform, and the addresses of its predictors."""
    config = make_config(tmp_path, reward={"window_seconds": 0.5})
    platform, ports = connect(config), [free_port() for _ in range(PREDICTORS)]
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    with contextlib.ExitStack() as stack:
        for _ in range(LOGGERS):
            stack.enter_context(process(config, "-m", "functions.logger"))
        for port in ports:
            there = config.model_copy(update={"backend": config.backend.model_copy(update={"port": port})})
            stack.enter_context(process(there, "-m", "functions.predictor"))
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            wait_until(lambda url=url: healthy(url))
        yield platform, urls


def healthy(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"{url}/health", timeout=5).ok
    return False


class Reader(threading.Thread):
    """Reads all complete interactions again and again, as an ingester does, and checks what it sees."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self._platform, self.stopping = platform, threading.Event()
        self.looks, self.problems, self.seen = 0, [], set()

    def run(self) -> None:
        until = None
        while not self.stopping.is_set():
            window = self._platform.warehouse.window(None)
            batches = self._platform.warehouse.interactions(window)
            ids = [event_id for batch in batches for event_id in batch["event_id"].to_pylist()]
            self._check(until is None or window.until >= until, f"the watermark went back to {window.until}")
            self._check(len(ids) == len(set(ids)) == window.interactions, f"{len(ids)} of {window.interactions}")
            self._check(self.seen <= set(ids), "what was there is gone")
            requests_seen = [event_id.rpartition(" ")[0] for event_id in ids]
            parts = {name for name in set(requests_seen) if requests_seen.count(name) != BATCH}
            self._check(not parts, f"parts of {parts}")
            until, self.seen, self.looks = window.until, set(ids), self.looks + 1

    def _check(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)


def test_a_reader_sees_whole_batches_and_a_monotone_watermark(running, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    platform, urls = running
    observations = np.random.default_rng(0).normal(size=(BATCH, 20)).tolist()

    def ask(user: int) -> list[str]:
        asked = []
        for number in range(BATCHES):
            ids = [f"{user}-{number} {row}" for row in range(BATCH)]
            instances = [{"observation": o, "event_id": e} for o, e in zip(observations, ids, strict=True)]
            url = urls[(user + number) % PREDICTORS]
            assert requests.post(url + PREDICT_ROUTE, json={"instances": instances}, timeout=20).ok
            rewards = [{"event_id": event_id, "value": 1.0} for event_id in ids[:5]]
            assert requests.post(f"{url}/reward", json={"rewards": rewards}, timeout=20).ok
            asked += ids
        return asked

    reader = Reader(platform)
    reader.start()
    with ThreadPoolExecutor(USERS) as pool:
        asked = {event_id for ids in pool.map(ask, range(USERS)) for event_id in ids}
    wait_until(lambda: reader.seen == asked or reader.problems, 60)
    reader.stopping.set()
    reader.join()
    assert not reader.problems, reader.problems[:3]
    assert reader.looks > 3
    counts = platform.warehouse.counts()
    assert counts.received["decisions"] - counts.duplicate["decisions"] == USERS * BATCHES * BATCH
    assert counts.received["rewards"] - counts.duplicate["rewards"] == USERS * BATCHES * 5
    assert counts.dangling == 0
