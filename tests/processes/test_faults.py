"""10,000 decisions and their rewards, shuffled and with duplicates, survive kill -9 and a full disk."""

import contextlib
import functools
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import requests
from deltalake import DeltaTable

from banditloop.pipelines.cli.supervisor import services
from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.schema import STORED_TABLES
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.serving.log_counts import log_counts
from tests.conftest import deploy, make_config, make_policy
from tests.support.processes import process, wait_until

DECISIONS, PER_REQUEST, KILLS, DISK = 10_000, 20, 20, "192m"
WINDOW, FULL_SECONDS = timedelta(hours=1), 2.0
END_OF_TIME = datetime(2190, 1, 1, tzinfo=UTC)
DUPLICATED, LATE, UNREWARDED, DANGLING = 0.2, 0.3, 0.1, 50


@pytest.fixture
def disk(tmp_path):
    """A small temporary file system."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Users:
    """An application that retries every request until it is answered, with its answers and expected rewards."""

    def __init__(self, platform: Platform, seed: int) -> None:
        self._platform, self._random = platform, random.Random(seed)
        self.answers: dict[str, dict] = {}
        self.expected = {f"event-{number}": 0.0 for number in range(DECISIONS)}
        self.rewards_sent, self.late = set(), 0

    def requests(self):
        """All requests, shuffled: a reward may come before its decision."""
        now, draw, rewards = datetime.now(UTC), self._random, []
        for number, event_id in enumerate(self.expected):
            if draw.random() < UNREWARDED:
                continue
            late = draw.random() < LATE
            at = now + (2 if late else 0) * WINDOW
            reward = {"event_id": event_id, "value": float(number % 5), "timestamp": at.isoformat(), "source_id": "app"}
            if late:
                self.late += 1
            else:
                self.expected[event_id] = reward["value"]
            rewards += [reward] * (2 if draw.random() < DUPLICATED else 1)
            self.rewards_sent.add(event_id)
        rewards += [{"event_id": f"nobody-{number}", "value": 1.0} for number in range(DANGLING)]
        observations = np.random.default_rng(0).normal(size=(DECISIONS, 20)).round(3).tolist()
        instances = [{"observation": o, "event_id": e} for o, e in zip(observations, self.expected, strict=True)]
        draw.shuffle(rewards)
        bodies = [
            ("/predict", {"instances": instances[i : i + PER_REQUEST]}) for i in range(0, len(instances), PER_REQUEST)
        ]
        bodies += [("/reward", {"rewards": rewards[i : i + PER_REQUEST]}) for i in range(0, len(rewards), PER_REQUEST)]
        draw.shuffle(bodies)
        return bodies

    def send(self, body) -> None:
        path, content = body
        while True:
            try:
                response = requests.post(f"{self._platform.endpoint.url()}{path}", json=content, timeout=20)
            except requests.RequestException:
                time.sleep(0.1)
                continue
            if response.ok:
                break
            assert response.status_code == 503, response.text  # the disk is full
            time.sleep(0.1)
        for answer in response.json().get("predictions", []):
            self.answers[answer["event_id"]] = answer


def kill_at_random(processes, killed: list[str], predictor_lock: threading.Lock) -> None:
    """kill -9 the predictor or the logger at random times, `KILLS` times."""
    draw = random.Random(1)
    while len(killed) < KILLS:
        time.sleep(draw.uniform(0.2, 1.8))
        name = draw.choice(("banditloop.functions.predictor", "banditloop.functions.logger"))
        with predictor_lock if name == "banditloop.functions.predictor" else contextlib.nullcontext():
            if processes[name].poll() is None:
                processes[name].send_signal(signal.SIGKILL)
                killed.append(name)


def fill(disk: Path, killed: list[str], predictor_lock: threading.Lock, platform: Platform) -> None:
    """Fill the disk for a while, after a third of the kills. The predictor answers with Retry-After meanwhile.

    It is not killed then, as it could not start on a full disk.
    """
    wait_until(lambda: len(killed) > KILLS / 3)
    ballast = disk / "ballast"
    with predictor_lock:
        wait_until(platform.endpoint.serving_versions)
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        try:
            body = {"rewards": [{"event_id": "nobody-0", "value": 1.0}]}
            reward = functools.partial(requests.post, f"{platform.endpoint.url()}/reward", json=body, timeout=20)
            wait_until(lambda: reward().headers.get("retry-after") == "1", 20)  # after the current page is full
            time.sleep(FULL_SECONDS)
        finally:
            ballast.unlink()


@pytest.mark.slow
def test_joined_interactions_and_counts_are_exact_despite_faults(disk, tmp_path):
    reward = {"attribution_window_seconds": WINDOW.total_seconds()}
    config = make_config(tmp_path, backend={"root": str(disk / "loop")}, bus={"lease_seconds": 1.0}, reward=reward)
    platform = connect(config)
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    users, killed = Users(platform, seed=0), []

    def send(progress: float, body) -> None:
        """Send when this fraction of the kills has happened."""
        wait_until(lambda: len(killed) >= progress * KILLS - 1, 120)
        users.send(body)

    with services(config) as processes, ThreadPoolExecutor(8) as pool:
        wait_until(platform.endpoint.serving_versions)
        predictor_lock = threading.Lock()
        faults = [
            pool.submit(kill_at_random, processes, killed, predictor_lock),
            pool.submit(fill, disk, killed, predictor_lock, platform),
        ]
        for poison in range(3):
            platform.bus.publish("rewards", b"poison %d" % poison)
        bodies = users.requests()
        list(pool.map(send, np.linspace(0, 1, len(bodies)), bodies))
        for fault in faults:
            fault.result()
        wait_until(lambda: logged(platform) == (DECISIONS, len(users.rewards_sent) + DANGLING), 120)
        wait_until(lambda: log_counts(platform)["rewards"]["dead"] == 3)
    assert set(killed) == {"banditloop.functions.predictor", "banditloop.functions.logger"}
    assert joined(platform) == {
        event_id: (str(users.answers[event_id]["action"]), users.answers[event_id]["propensity"], value)
        for event_id, value in users.expected.items()
    }
    counts = log_counts(platform)
    assert (counts["rewards"]["late"], counts["rewards"]["dangling"]) == (users.late, DANGLING)
    assert_files_are_complete(disk)


def logged(platform) -> tuple[int, int]:
    """The numbers of distinct decisions and rewards in the warehouse."""
    counts = platform.warehouse.event_counts()
    return tuple(counts.received[table] - counts.duplicate[table] for table in ("decisions", "rewards"))


def joined(platform) -> dict[str, tuple[str, float, float]]:
    window = Window(until=END_OF_TIME, interactions=0)
    rows = [row for batch in platform.warehouse.interactions(window) for row in batch.to_pylist()]
    assert len(rows) == DECISIONS
    return {row["event_id"]: (row["action"], row["propensity"], row["reward"]) for row in rows}


def assert_files_are_complete(disk: Path) -> None:
    """Every referenced file is readable, and no event is left in the outboxes."""
    for table in STORED_TABLES.values():
        for file in DeltaTable(disk / "loop" / "warehouse" / table).file_uris():
            pq.read_table(file)
    for path in disk.rglob("*.json"):
        text = path.read_bytes()
        for value in text.splitlines() if path.parent.name == "_delta_log" else [text]:
            orjson.loads(value)
    assert sum(path.stat().st_size for path in (disk / "loop" / "scratch" / "outbox").rglob("*") if path.is_file()) == 0


def test_requests_are_answered_while_the_bus_is_down_and_logged_once_afterwards(tmp_path):
    config = make_config(tmp_path)
    platform, bus = connect(config), tmp_path / "loop" / "bus"
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    bus.write_text("")  # a file where its folder should be: nothing can be published
    with process(config, "-m", "banditloop.functions.predictor"), process(config, "-m", "banditloop.functions.logger"):
        wait_until(platform.endpoint.serving_versions)
        body = {"instances": np.random.default_rng(0).normal(size=(PER_REQUEST, 20)).tolist()}
        responses = [requests.post(f"{platform.endpoint.url()}/predict", json=body, timeout=5) for _ in range(50)]
        assert {response.status_code for response in responses} == {200}
        bus.unlink()
        wait_until(lambda: platform.warehouse.event_counts().received["decisions"] >= 50 * PER_REQUEST)
    window = Window(until=END_OF_TIME, interactions=0)
    logged_ids = [row["event_id"] for batch in platform.warehouse.interactions(window) for row in batch.to_pylist()]
    predictions = [prediction for response in responses for prediction in response.json()["predictions"]]
    assert sorted(logged_ids) == sorted(prediction["event_id"] for prediction in predictions)
