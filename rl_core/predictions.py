"""Predictions: a request's body in, answers and the decisions to log out. The JSON is that of Vertex AI."""

import os
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from rl_core.errors import InvalidInput
from rl_core.observations import check_observations
from rl_core.policy import SavedPolicy


def predict(body: bytes, policy: SavedPolicy, random: np.random.Generator) -> tuple[list[Any], list[bytes]]:
    """The predictions for a request's body, and the decisions to log."""
    instances = _instances(body)
    flat, groups = _flatten(instances)
    observations = check_observations(flat, policy.manifest.dim)
    decided = policy.decide(observations, random)
    now, version = datetime.now(UTC), policy.manifest.version
    entropy = os.urandom(16 * len(flat)).hex()
    event_ids = [entropy[32 * row : 32 * row + 32] for row in range(len(flat))]
    events = [
        orjson.dumps(
            {
                "event_id": event_ids[row],
                "timestamp": now,
                "policy_version": version,
                "observation": observations[row],
                "action": decided.actions[row],
                "propensity": decided.propensities[row],
                "probabilities": decided.probabilities[row],
                "mode": "online",
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        for row in range(len(flat))
    ]
    actions, propensities = decided.actions.tolist(), decided.propensities.tolist()
    return [_prediction(rows, event_ids, actions, propensities, version) for rows in groups], events


def _instances(body: bytes) -> list[Any]:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"request: not JSON ({error})") from None
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('request: instances is missing or empty; send {"instances": [[number, ...], ...]}')
    return instances


def _flatten(instances: list[Any]) -> tuple[list[Any], list[int | slice]]:
    """All observations as one batch, and which of its rows answer each instance.

    An instance is an observation, or {"observation": ...} with one or, as Google's sample sends them, a list of them.
    """
    flat: list[Any] = []
    groups: list[int | slice] = []
    for instance in instances:
        observation = instance.get("observation") if isinstance(instance, dict) else instance
        if isinstance(instance, dict) and isinstance(observation, list) and observation and _is_list(observation[0]):
            groups.append(slice(len(flat), len(flat) + len(observation)))
            flat.extend(observation)
        else:
            groups.append(len(flat))
            flat.append(observation)
    return flat, groups


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _prediction(rows: int | slice, event_ids: list, actions: list, propensities: list, version: str) -> dict[str, Any]:
    answer = {"event_id": event_ids[rows], "action": actions[rows], "propensity": propensities[rows]}
    if isinstance(rows, slice):
        answer["predicted_action"] = actions[rows]  # the name in Google's sample
    return answer | {"policy_version": version}
