"""The simulator plays users: it shows the endpoint observations, and later rewards what it was recommended."""

import functools
from datetime import UTC, datetime

import functions_framework
import numpy as np
import orjson
from cloudevents.http import CloudEvent
from pydantic import Field

from rl_core.backends import Platform, cloud_events, connect
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.sections import Section


class Visit(Section):
    """What one event asks for."""

    users: int = Field(100, ge=1, le=10_000, description="how many users come at once")
    seed: int | None = Field(None, ge=0, description="who comes; at random where not given")


@functools.cache
def connected() -> tuple[Config, Platform]:
    """$BANDITLOOP_CONFIG and its platform, when the first event comes."""
    config = Config.from_environment()
    return config, connect(config)


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
        request = orjson.loads(cloud_events.payload(event) or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"visit: not JSON ({error})") from None
    simulate(*connected(), Visit.parse(request, "visit"))
