"""The simulator: simulated users send observations to the endpoint and publish rewards for the recommended actions."""

import logging
from datetime import UTC, datetime

import functions_framework
import numpy as np
import orjson
from cloudevents.http import CloudEvent
from pydantic import Field

from banditloop.rl_core import cloud_events
from banditloop.rl_core.backends import platform_from_environment
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.rows import reward_row
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.settings.section import Section

log = logging.getLogger("banditloop.simulator")


class Visit(Section):
    """The users of one simulated visit."""

    users: int = Field(100, ge=1, le=10_000, description="number of users, who all visit at once")
    seed: int | None = Field(None, ge=0, description="seed from which the users are drawn; random if not given")


def simulate(config: Config, platform: Platform, visit: Visit) -> float:
    """Simulate a visit and publish its rewards; returns the mean reward."""
    observations = config.environment.observe(visit.users, np.random.default_rng(visit.seed))
    predictions = platform.endpoint.predict(observations.tolist())
    event_ids = [prediction["event_id"] for prediction in predictions]
    actions = np.array([prediction["action"] for prediction in predictions])
    rewards = config.environment.reward(observations, actions, event_ids)
    now = datetime.now(UTC)
    events = [
        reward_row(event_id=event_id, value=value, timestamp=now, name=config.reward.name, source_id="simulator")
        for event_id, value in zip(event_ids, rewards.tolist(), strict=True)
    ]
    platform.bus.publish("rewards", orjson.dumps(events))
    return float(rewards.mean())


@functions_framework.cloud_event
def simulator(event: CloudEvent) -> None:
    """Simulate the visit that a message describes. An invalid message is dropped: redelivery would not help."""
    try:
        visit = Visit.parse(orjson.loads(cloud_events.payload(event) or b"{}"), "visit")
    except (InvalidInput, orjson.JSONDecodeError) as error:
        log.error("invalid message, no visit simulated: %s", error)
    else:
        simulate(*platform_from_environment(), visit)
