"""The simulator plays users: it shows the endpoint observations, and later rewards what it was recommended."""

import logging
from datetime import UTC, datetime

import functions_framework
import numpy as np
import orjson
from cloudevents.http import CloudEvent
from pydantic import Field

from rl_core.backends import Platform, cloud_events, connected
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.schema import SCHEMA_VERSION
from rl_core.sections import Section

log = logging.getLogger("banditloop.simulator")


class Visit(Section):
    """What one event asks for."""

    users: int = Field(100, ge=1, le=10_000, description="how many users come at once")
    seed: int | None = Field(None, ge=0, description="who comes; at random where not given")


def simulate(config: Config, platform: Platform, visit: Visit) -> float:
    """Let users come and reward their recommendations; returns the mean reward."""
    observations = config.environment.observe(visit.users, np.random.default_rng(visit.seed))
    predictions = platform.endpoint.predict(observations.tolist())
    event_ids = [prediction["event_id"] for prediction in predictions]
    actions = np.array([prediction["action"] for prediction in predictions])
    rewards = config.environment.reward(observations, actions, event_ids)
    now = datetime.now(UTC)
    events = [
        {
            "schema_version": SCHEMA_VERSION,
            "event_id": event_id,
            "name": config.reward.name,
            "value": value,
            "timestamp": now,
            "source_id": "simulator",
        }
        for event_id, value in zip(event_ids, rewards.tolist(), strict=True)
    ]
    platform.bus.publish("rewards", orjson.dumps(events))
    return float(rewards.mean())


@functions_framework.cloud_event
def simulator(event: CloudEvent) -> None:
    """Let the users of one event come."""
    try:
        visit = Visit.parse(orjson.loads(cloud_events.payload(event) or b"{}"), "visit")
    except (InvalidInput, orjson.JSONDecodeError) as error:
        log.error("nobody comes: %s", error)  # coming again would not mend it
    else:
        simulate(*connected(), visit)
