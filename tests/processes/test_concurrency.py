"""Four loggers, two predictors and a concurrent reader: it sees whole batches and a monotone watermark."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests

from banditloop.rl_core.backends import connect
from banditloop.rl_core.ports import PREDICT_ROUTE, Platform
from banditloop.rl_core.settings.secrets import TOKEN
from tests.conftest import deploy, make_config, make_policy
from tests.support.processes import free_port, process, wait_until

LOGGERS, PREDICTORS, USERS, BATCHES, BATCH = 4, 2, 6, 100, 10


@pytest.fixture
def running(tmp_path):
    """The platform, and the addresses of its predictors."""
    config = make_config(tmp_path, reward={"attribution_window_seconds": 0.5})
    platform, ports = connect(config), [free_port() for _ in range(PREDICTORS)]
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    with contextlib.ExitStack() as stack:
        for _ in range(LOGGERS):
            stack.enter_context(process(config, "-m", "banditloop.functions.logger"))
        for port in ports:
            port_config = config.model_copy(update={"serving": config.serving.model_copy(update={"port": port})})
            stack.enter_context(process(port_config, "-m", "banditloop.functions.predictor"))
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            wait_until(lambda url=url: healthy(url))
        yield platform, urls


def healthy(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"{url}/health", timeout=5).ok
    return False


class Reader(threading.Thread):
    """Reads all complete interactions repeatedly, as an ingester does, and checks them."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self._platform, self.stopping = platform, threading.Event()
        self.reads, self.problems, self.seen = 0, [], set()

    def run(self) -> None:
        until = None
        while not self.stopping.is_set():
            window = self._platform.warehouse.window(None)
            batches = self._platform.warehouse.interactions(window)
            ids = [event_id for batch in batches for event_id in batch["event_id"].to_pylist()]
            self._check(until is None or window.until >= until, f"the watermark went back to {window.until}")
            self._check(len(ids) == len(set(ids)) == window.interactions, f"{len(ids)} of {window.interactions}")
            self._check(self.seen <= set(ids), "interactions disappeared")
            batch_names = [event_id.rpartition(" ")[0] for event_id in ids]
            incomplete = {name for name in set(batch_names) if batch_names.count(name) != BATCH}
            self._check(not incomplete, f"incomplete batches {incomplete}")
            until, self.seen, self.reads = window.until, set(ids), self.reads + 1

    def _check(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)


@pytest.mark.slow
def test_a_reader_sees_whole_batches_and_a_monotone_watermark(running, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    platform, urls = running
    observations = np.random.default_rng(0).normal(size=(BATCH, 20)).tolist()

    def send_requests(user: int) -> list[str]:
        sent_ids = []
        for number in range(BATCHES):
            ids = [f"{user}-{number} {row}" for row in range(BATCH)]
            instances = [{"observation": o, "event_id": e} for o, e in zip(observations, ids, strict=True)]
            url = urls[(user + number) % PREDICTORS]
            assert requests.post(url + PREDICT_ROUTE, json={"instances": instances}, timeout=20).ok
            rewards = [{"event_id": event_id, "value": 1.0} for event_id in ids[:5]]
            assert requests.post(f"{url}/reward", json={"rewards": rewards}, timeout=20).ok
            sent_ids += ids
        return sent_ids

    reader = Reader(platform)
    reader.start()
    with ThreadPoolExecutor(USERS) as pool:
        sent_ids = {event_id for ids in pool.map(send_requests, range(USERS)) for event_id in ids}
    wait_until(lambda: reader.seen == sent_ids or reader.problems, 60)
    reader.stopping.set()
    reader.join()
    assert not reader.problems, reader.problems[:3]
    assert reader.reads > 3
    counts = platform.warehouse.event_counts()
    assert counts.received["decisions"] - counts.duplicate["decisions"] == USERS * BATCHES * BATCH
    assert counts.received["rewards"] - counts.duplicate["rewards"] == USERS * BATCHES * 5
    assert counts.dangling == 0
