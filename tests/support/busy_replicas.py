"""Two busy replicas of a predictor, as the bus sees them: decisions in messages, rewards one by one."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.ports import Platform
from tests.conftest import rewards, vector_decisions

REPLICAS, RATE = 2, 50  # decisions a second of a replica, and as many rewards


def publish(config: Config, seconds: int) -> int:
    """Publish at the replicas' rates for some seconds; returns the number of decisions."""
    with ThreadPoolExecutor(REPLICAS) as pool:
        return sum(pool.map(lambda _: _publish(connect(config), config, seconds), range(REPLICAS)))


def _publish(platform: Platform, config: Config, seconds: int) -> int:
    start, period = time.monotonic(), config.bus.publish_seconds
    rounds = round(seconds / period)
    for number in range(rounds):
        ids = [uuid.uuid4().hex for _ in range(round(RATE * period))]
        platform.bus.publish("decisions", encode(vector_decisions(ids)))
        for event_id in ids:
            platform.bus.publish("rewards", encode(rewards([event_id])))
        time.sleep(max(0.0, start + (number + 1) * period - time.monotonic()))
    return rounds * round(RATE * period)


def logged_once(platform: Platform, decisions: int) -> bool:
    """Whether as many decisions and rewards are logged. AssertionError: more were, or some are dead letters."""
    counts = platform.warehouse.event_counts()
    unique = {topic: counts.received[topic] - counts.duplicate[topic] for topic in counts.received}
    assert max(unique.values()) <= decisions, unique
    assert [platform.bus.dead_letters(topic) for topic in unique] == [[], []]
    return set(unique.values()) == {decisions}
