"""Predictions: a request's body in, answers and the decisions to log out. The JSON is that of Vertex AI."""

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from rl_core.errors import InvalidInput
from rl_core.observations import check_observations
from rl_core.policy import SavedPolicy

Choose = Callable[[np.random.Generator], SavedPolicy]


def predict(body: bytes, choose: Choose, random: np.random.Generator) -> tuple[list[Any], list[bytes]]:
    """The predictions for a request's body, by a policy that `choose` draws, and the decisions to log.

    A request with parameters.request_id has all its randomness from that: asked again, the same version gives the same
    actions under the same event ids, so a lost answer leaves no decision behind that nobody saw.
    """
    instances, request_id = _read(body)
    if request_id is None:
        request_id = os.urandom(16).hex()
    else:
        random = np.random.default_rng(list(request_id.encode()))
    policy = choose(random)
    manifest, now = policy.manifest, datetime.now(UTC)
    flat, groups = _flatten(instances)
    observations = check_observations(flat, manifest.dim)
    decided = policy.decide(observations, random)
    stem = hashlib.sha256(f"{request_id} {manifest.version}".encode()).hexdigest()[:24]
    event_ids = [f"{stem}{row:08x}" for row in range(len(flat))]
    events = [
        orjson.dumps(
            {
                "event_id": event_ids[row],
                "timestamp": now,
                "policy_version": manifest.version,
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
    return [_prediction(rows, event_ids, actions, propensities, manifest.version) for rows in groups], events


def _read(body: bytes) -> tuple[list[Any], str | None]:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"request: not JSON ({error})") from None
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('request: instances is missing or empty; send {"instances": [[number, ...], ...]}')
    parameters = request.get("parameters") or {}
    request_id = parameters.get("request_id") if isinstance(parameters, dict) else parameters
    if request_id is not None and not (isinstance(request_id, str) and 16 <= len(request_id) <= 64):
        raise InvalidInput(f"request: parameters.request_id = {request_id!r:.40}: give 16 to 64 characters, once")
    return instances, request_id


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
