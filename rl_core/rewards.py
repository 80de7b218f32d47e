"""Rewards that an application sends: a request's body in, the events to log out."""

from datetime import UTC, datetime
from typing import Any

import orjson

from rl_core.errors import InvalidInput
from rl_core.schema import REWARD, decode, read_request


def read_rewards(body: bytes, name: str) -> list[bytes]:
    """The reward events of a body, each as JSON.

    {"rewards": [{"event_id": ..., "value": ...}, ...]}; a reward may also have a name (else `name`), a timestamp (else
    now) and a source_id, which tells several rewards of one event apart.

    Raises:
        InvalidInput: the body is not of that form; names what is wrong.
    """
    rewards = read_request(body).get("rewards")
    if not isinstance(rewards, list) or not rewards or not all(isinstance(reward, dict) for reward in rewards):
        raise InvalidInput('request: send {"rewards": [{"event_id": text, "value": number}, ...]}')
    defaults: dict[str, Any] = {"name": name, "timestamp": datetime.now(UTC).isoformat(), "source_id": ""}
    events = [defaults | reward for reward in rewards]
    decode(REWARD, orjson.dumps(events))  # or the logger would find out, when nobody listens any more
    return [orjson.dumps(event) for event in events]
