"""Two busy replicas: the predictor's containers on Vertex AI's stand-in, each with a client that sends requests."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Platform
from tests.conftest import deploy, make_policy
from tests.ports.conftest import vertex

REPLICAS, RATE = 2, 50  # decisions a second of a replica, and as many rewards


def serve(config: Config, folder: Path) -> list[int]:
    """Deploy a policy trained on noise; returns the ports of its replicas."""
    make_policy(folder / "policy")
    deploy(connect(config).endpoint, folder / "policy")
    return [replica.port for replica in list(vertex().serving.values())[-1]]


def feed(ports: list[int], seconds: int) -> int:
    """Send each replica requests at its rate for some seconds; returns the number of decisions."""
    with ThreadPoolExecutor(len(ports)) as pool:
        return sum(pool.map(lambda port: _feed(port, RATE * seconds), ports))


def _feed(port: int, decisions: int) -> int:
    connection, start = http.client.HTTPConnection("127.0.0.1", port, timeout=60), time.monotonic()
    for number in range(decisions):
        time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        answer = _post(connection, "/predict", {"instances": [{"observation": [0.1] * 20}]})
        reward = {"event_id": answer["predictions"][0]["event_id"], "value": 1.0}
        _post(connection, "/reward", {"rewards": [reward]})
    return decisions


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    assert response.status in (200, 202), content
    return json.loads(content)


def logged_once(platform: Platform, decisions: int) -> bool:
    """Whether as many decisions and rewards are logged. AssertionError: more were, or some are dead letters."""
    counts = platform.warehouse.event_counts()
    unique = {topic: counts.received[topic] - counts.duplicate[topic] for topic in counts.received}
    assert max(unique.values()) <= decisions, unique
    assert [platform.bus.dead_letters(topic) for topic in unique] == [[], []]
    return set(unique.values()) == {decisions}
