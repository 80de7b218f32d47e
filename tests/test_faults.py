"""Ten thousand decisions and their rewards, in any order and with doubles, through kill -9 and a full disk."""

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

from pipelines.services import services
from rl_core.backends import Platform, connect
from rl_core.backends.metrics import log_counts
from rl_core.manifest import Window
from tests.conftest import deploy, make_config, make_policy
from tests.processes import process, wait_until

DECISIONS, AT_ONCE, KILLS, DISK = 10_000, 20, 20, "192m"
WINDOW, FULL_SECONDS = timedelta(hours=1), 2.0
FOR_EVER = datetime(2190, 1, 1, tzinfo=UTC)
DUPLICATED, LATE, NEVER, DANGLING = 0.2, 0.3, 0.1, 50


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk without the right to mount one: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


class Users:
    """What the application asks and rewards, again and again until it is answered, and what it was answered."""

    def __init__(self, platform: Platform, seed: int) -> None:
        self._platform, self._random = platform, random.Random(seed)
        self.answers: dict[str, dict] = {}
        self.expected = {f"event-{number}": 0.0 for number in range(DECISIONS)}
        self.rewards_sent, self.late = set(), 0

    def requests(self):
        """All requests, shuffled: decisions, and rewards that may come before their decision."""
        now, draw, rewards = datetime.now(UTC), self._random, []
        for number, event_id in enumerate(self.expected):
            if draw.random() < NEVER:
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
        asked = [{"observation": o, "event_id": e} for o, e in zip(observations, self.expected, strict=True)]
        draw.shuffle(rewards)
        bodies = [("/predict", {"instances": asked[i : i + AT_ONCE]}) for i in range(0, len(asked), AT_ONCE)]
        bodies += [("/reward", {"rewards": rewards[i : i + AT_ONCE]}) for i in range(0, len(rewards), AT_ONCE)]
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
            assert response.status_code == 503, response.text  # there is no room on the disk
            time.sleep(0.1)
        for answer in response.json().get("predictions", []):
            self.answers[answer["event_id"]] = answer


def kill_at_random(processes, killed: list[str], spared: threading.Lock) -> None:
    """kill -9 of the predictor or the logger, now and then, until they have died often enough."""
    draw = random.Random(1)
    while len(killed) < KILLS:
        time.sleep(draw.uniform(0.2, 1.8))
        name = draw.choice(("functions.predictor", "functions.logger"))
        with spared if name == "functions.predictor" else contextlib.nullcontext():
            if processes[name].poll() is None:
                processes[name].send_signal(signal.SIGKILL)
                killed.append(name)


def fill(disk: Path, killed: list[str], spared: threading.Lock, platform: Platform) -> None:
    """Leave no byte for a while, in the midst of it. The predictor, which could not start then, says come again."""
    wait_until(lambda: len(killed) > KILLS / 3)
    ballast = disk / "ballast"
    with spared:
        wait_until(platform.endpoint.serving)
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        try:
            body = {"rewards": [{"event_id": "nobody-0", "value": 1.0}]}
            reward = functools.partial(requests.post, f"{platform.endpoint.url()}/reward", json=body, timeout=20)
            wait_until(lambda: reward().headers.get("retry-after") == "1", 20)  # once the page that was begun is full
            time.sleep(FULL_SECONDS)
        finally:
            ballast.unlink()


def test_the_joined_table_is_what_was_answered_and_rewarded_and_the_counts_are_exact(disk, tmp_path):
    reward = {"window_seconds": WINDOW.total_seconds()}
    config = make_config(tmp_path, backend={"root": str(disk / "loop"), "lease_seconds": 1.0}, reward=reward)
    platform = connect(config)
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    users, killed = Users(platform, seed=0), []

    def send(place: float, body) -> None:
        """Spread over all that happens."""
        wait_until(lambda: len(killed) >= place * KILLS - 1, 120)
        users.send(body)

    with services(config) as processes, ThreadPoolExecutor(8) as pool:
        wait_until(platform.endpoint.serving)
        spared = threading.Lock()
        happening = [
            pool.submit(kill_at_random, processes, killed, spared),
            pool.submit(fill, disk, killed, spared, platform),
        ]
        for poison in range(3):
            platform.bus.publish("rewards", b"poison %d" % poison)
        bodies = users.requests()
        list(pool.map(send, np.linspace(0, 1, len(bodies)), bodies))
        for happened in happening:
            happened.result()
        wait_until(lambda: logged(platform) == (DECISIONS, len(users.rewards_sent) + DANGLING), 120)
        wait_until(lambda: log_counts(platform)["rewards"]["dead"] == 3)
    assert set(killed) == {"functions.predictor", "functions.logger"}
    assert joined(platform) == {
        event_id: (users.answers[event_id]["action"], users.answers[event_id]["propensity"], value)
        for event_id, value in users.expected.items()
    }
    found = log_counts(platform)
    assert (found["rewards"]["late"], found["rewards"]["dangling"]) == (users.late, DANGLING)
    nothing_is_half_written(disk)


def logged(platform) -> tuple[int, int]:
    """The rows of either table."""
    counts = platform.warehouse.counts()
    return tuple(counts.received[table] - counts.duplicate[table] for table in ("decisions", "rewards"))


def joined(platform) -> dict[str, tuple[int, float, float]]:
    window = Window(until=FOR_EVER, interactions=0)
    rows = [row for batch in platform.warehouse.interactions(window) for row in batch.to_pylist()]
    assert len(rows) == DECISIONS
    return {row["event_id"]: (row["action"], row["propensity"], row["reward"]) for row in rows}


def nothing_is_half_written(disk: Path) -> None:
    """Every file that anything refers to can be read, and nothing waits any more."""
    for table in ("decisions", "rewards"):
        for file in DeltaTable(disk / "loop" / "warehouse" / table).file_uris():
            pq.read_table(file)
    for path in disk.rglob("*.json"):
        text = path.read_bytes()
        for value in text.splitlines() if path.parent.name == "_delta_log" else [text]:
            orjson.loads(value)
    assert sum(path.stat().st_size for path in (disk / "loop" / "scratch").rglob("*") if path.is_file()) == 0


def test_while_the_bus_is_down_everybody_is_answered_and_then_every_decision_arrives_once(tmp_path):
    config = make_config(tmp_path)
    platform, bus = connect(config), tmp_path / "loop" / "bus"
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    bus.write_text("")  # a file where its folder should be: nothing can be published
    with process(config, "-m", "functions.predictor"), process(config, "-m", "functions.logger"):
        wait_until(platform.endpoint.serving)
        body = {"instances": np.random.default_rng(0).normal(size=(AT_ONCE, 20)).tolist()}
        responses = [requests.post(f"{platform.endpoint.url()}/predict", json=body, timeout=5) for _ in range(50)]
        assert {response.status_code for response in responses} == {200}
        bus.unlink()
        wait_until(lambda: platform.warehouse.counts().received["decisions"] >= 50 * AT_ONCE)
    window = Window(until=FOR_EVER, interactions=0)
    found = [row["event_id"] for batch in platform.warehouse.interactions(window) for row in batch.to_pylist()]
    assert sorted(found) == sorted(one["event_id"] for response in responses for one in response.json()["predictions"])
