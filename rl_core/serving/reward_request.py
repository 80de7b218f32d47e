"""Parsing of reward and activation requests: a request body in, the events to log out."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.reward_checks import outside_range
from banditloop.rl_core.events.schema import REWARD, SCHEMA_VERSION
from banditloop.rl_core.serving.request_json import MAX_EVENTS, check_count, check_keys, read_request
from banditloop.rl_core.settings.loop import ACTIVATION, RewardSection
from banditloop.rl_core.settings.task import Task

MAX_BRACKETS = 10 * MAX_EVENTS  # one for each event; texts may have some, too
FIELDS = ("schema_version", *REWARD.names)
Event = dict[str, Any]


def read_rewards(body: bytes, task: Task, section: RewardSection, in_range: bool = True) -> list[Event]:
    """The reward events of a body {"rewards": [{"event_id": ..., "value": ...}, ...]}.

    A reward may also have a name (default: that of the section `reward`), a timestamp (default now) and a source_id,
    which distinguishes several rewards of one event. The values true and false are 1 and 0. in_range: whether each
    value must be in the task's range.

    Raises:
        InvalidInput: the body does not have this format, or a value is outside the task's range; names the error.
    """
    rewards = read_request(body, ("rewards",), MAX_BRACKETS).get("rewards")
    if not isinstance(rewards, list) or not rewards or not all(isinstance(reward, dict) for reward in rewards):
        raise InvalidInput('request: send {"rewards": [{"event_id": text, "value": number}, ...]}')
    check_count(len(rewards), "rewards")
    events, table = _events(rewards, section.name)
    for text in outside_range(table, task, section).values() if in_range else ():
        raise InvalidInput(text)
    return events


def read_activations(body: bytes) -> list[Event]:
    """The events that activate the deferred decisions of a body {"event_ids": [...]}. Activation is idempotent.

    Raises:
        InvalidInput: the body does not have this format; names the error.
    """
    event_ids = read_request(body, ("event_ids",), MAX_BRACKETS).get("event_ids")
    if not isinstance(event_ids, list) or not event_ids:
        raise InvalidInput('request: send {"event_ids": [text, ...]}')
    check_count(len(event_ids), "event_ids")
    rewards = [{"event_id": event_id, "value": 1.0} for event_id in event_ids]
    return _events(rewards, ACTIVATION)[0]


def _events(rewards: list[Event], name: str) -> tuple[list[Event], pa.Table]:
    """The events, received now, and the table of them."""
    now = datetime.now(UTC).isoformat()
    defaults = {"schema_version": SCHEMA_VERSION, "name": name, "timestamp": now, "source_id": ""}
    if any("received_at" in reward for reward in rewards):
        raise InvalidInput("request: received_at: is set by the endpoint; omit it, or give a timestamp")
    events = [defaults | reward | {"received_at": now} for reward in rewards]
    for number, event in enumerate(events):
        if isinstance(version := event["schema_version"], int) and version > SCHEMA_VERSION:
            problem = f"event.{number}.schema_version = {version}: the newest supported is {SCHEMA_VERSION}"
            raise InvalidInput(f"{problem}; omit it")
        if len(event) > len(FIELDS):  # not for Pydantic, which would list every unknown field
            check_keys(event, FIELDS, f"event.{number}")
        if isinstance(value := event.get("value"), bool):
            event["value"] = float(value)
    # Validated here: the logger could no longer report an error to the client.
    return events, decode(REWARD, orjson.dumps(events))
