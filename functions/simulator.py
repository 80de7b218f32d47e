"""The simulator: simulated users send their contexts to the endpoint, and the rewards of its actions to the bus."""

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import functions_framework
import numpy as np
import orjson
from cloudevents.http import CloudEvent
from pydantic import Field

from banditloop.rl_core import cloud_events
from banditloop.rl_core.backends import platform_from_environment
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import Environment, EpisodicEnvironment, configured
from banditloop.rl_core.environments.history import chosen_actions, features_by_id, listed_candidates
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts, context_rows
from banditloop.rl_core.events.rows import Row, reward_row
from banditloop.rl_core.ports import Bus, Platform
from banditloop.rl_core.rollouts.visit import Visited, play_visit
from banditloop.rl_core.settings.section import Section

POLL_SECONDS = 0.05  # rewards that are due within it are published together
log = logging.getLogger("banditloop.simulator")


class Visit(Section):
    """The users of one simulated visit: each sends one request, or those of an episode."""

    users: int = Field(100, ge=1, le=10_000, description="number of users, who all visit at once")
    seed: int | None = Field(None, ge=0, description="seed from which the users are drawn; random if not given")


def simulate(config: Config, platform: Platform, visit: Visit) -> Visited:
    """Simulate a visit and publish its rewards, each when it is due.

    Raises:
        InvalidInput: the config has no environment.
    """
    if isinstance(config.environment, EpisodicEnvironment):
        return play_visit(config, platform, config.environment, visit.users, visit.seed)
    environment = configured(config.environment, "the simulator")
    random = np.random.default_rng(visit.seed)
    contexts = environment.observe(visit.users, random)
    decisions = platform.endpoint.predict(instances(environment, contexts, random))
    event_ids = [decision.event_id for decision in decisions]
    actions = chosen_actions(environment.task, [decision.action for decision in decisions])
    rewards = config.task.rewards.clip(environment.reward(contexts, actions, event_ids))  # noise may leave the range
    delays, now = environment.delays(event_ids), datetime.now(UTC)
    seconds = [0.0] * len(event_ids) if delays is None else delays.tolist()
    times = [now + timedelta(seconds=delay) for delay in seconds]
    events = [
        reward_row(event_id=event_id, value=value, timestamp=due, name=config.reward.name, source_id="simulator")
        for event_id, value, due in zip(event_ids, rewards.tolist(), times, strict=True)
    ]
    _publish_when_due(platform.bus, events)
    return Visited(len(event_ids), len(events), float(rewards.mean()))


def instances(environment: Environment, contexts: Contexts, random: np.random.Generator) -> list[Any]:
    """The instances of a predict request for contexts: plain vectors, or contexts by name, with any candidates."""
    task = environment.task
    listed, features = listed_candidates(environment, contexts, random), features_by_id(environment)
    rows = context_rows({name: contexts[name] for name in task.context if name in contexts})
    if listed is None:
        return [row[task.plain] if task.plain else {"context": row} for row in rows]
    return [
        {"context": row, "actions": [{"id": action} | features[action] for action in ids] if features else ids}
        for row, ids in zip(rows, listed, strict=True)
    ]


def _publish_when_due(bus: Bus, events: list[Row]) -> None:
    """Publish each reward once its timestamp has come."""
    waiting = sorted(events, key=lambda event: event["timestamp"])
    while waiting:
        now = datetime.now(UTC)
        due = [event for event in waiting if event["timestamp"] <= now]
        if due:
            bus.publish("rewards", orjson.dumps(due))
        if waiting := waiting[len(due) :]:
            time.sleep(max(POLL_SECONDS, (waiting[0]["timestamp"] - datetime.now(UTC)).total_seconds()))


@functions_framework.cloud_event
def simulator(event: CloudEvent) -> None:
    """Simulate the visit that a message describes. An invalid message is dropped: redelivery would not help."""
    try:
        visit = Visit.parse(orjson.loads(cloud_events.payload(event) or b"{}"), "visit")
    except (InvalidInput, orjson.JSONDecodeError) as error:
        log.error("invalid message, no visit simulated: %s", error)
    else:
        simulate(*platform_from_environment(), visit)
