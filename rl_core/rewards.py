"""Rewards that an application sends: a request's body in, the events to log out."""

from datetime import UTC, datetime
from typing import Any

import orjson

from rl_core.errors import InvalidInput
from rl_core.schema import ACTIVATION, REWARD, SCHEMA_VERSION, decode, read_request

Event = dict[str, Any]


def read_rewards(body: bytes, name: str) -> list[Event]:
    """The reward events of a body.

    {"rewards": [{"event_id": ..., "value": ...}, ...]}; a reward may also have a name (else `name`), a timestamp (else
    now) and a source_id, which tells several rewards of one event apart.

    Raises:
        InvalidInput: the body is not of that form; names what is wrong.
    """
    rewards = read_request(body).get("rewards")
    if not isinstance(rewards, list) or not rewards or not all(isinstance(reward, dict) for reward in rewards):
        raise InvalidInput('request: send {"rewards": [{"event_id": text, "value": number}, ...]}')
    return _events(rewards, name)


def read_activations(body: bytes) -> list[Event]:
    """The events of a body that activates deferred decisions: {"event_ids": [...]}. Activating twice is once.

    Raises:
        InvalidInput: the body is not of that form; names what is wrong.
    """
    event_ids = read_request(body).get("event_ids")
    if not isinstance(event_ids, list) or not event_ids:
        raise InvalidInput('request: send {"event_ids": [text, ...]}')
    rewards = [{"event_id": event_id, "value": 1.0} for event_id in event_ids]
    return _events(rewards, ACTIVATION)


def _events(rewards: list[Event], name: str) -> list[Event]:
    now = datetime.now(UTC).isoformat()
    defaults = {"schema_version": SCHEMA_VERSION, "name": name, "timestamp": now, "source_id": ""}
    events = [defaults | reward for reward in rewards]
    decode(REWARD, orjson.dumps(events))  # or the logger would find out, when nobody listens any more
    return events
