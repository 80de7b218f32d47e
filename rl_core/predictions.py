"""Predictions: a request's body in, answers and the decisions to log out. The JSON is that of Vertex AI."""

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from rl_core.errors import InvalidInput
from rl_core.observations import check_observations
from rl_core.schema import read_request
from rl_core.serving import Part

Decide = Callable[[np.ndarray, list[str | None], np.random.Generator], list[Part]]


def predict(body: bytes, decide: Decide, dim: int, random: np.random.Generator) -> tuple[list[Any], list[bytes]]:
    """The predictions for a request's body, by the policies that `decide`, and the decisions to log.

    A request with parameters.request_id has all its randomness from that: asked again, the same versions give the same
    actions under the same event ids, so a lost answer leaves no decision behind that nobody saw.
    """
    instances, request_id = _read(body)
    if request_id is None:
        request_id = os.urandom(16).hex()
    else:
        random = np.random.default_rng(list(request_id.encode()))
    flat, users, groups = _flatten(instances)
    observations, now = check_observations(flat, dim), datetime.now(UTC)
    answers: list[Any] = [None] * len(flat)
    events = []
    for part in decide(observations, users, random):
        for answer, event in _part(part, observations, request_id, now):
            events.append(orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY))
            if part.shown:
                answers[answer.pop("row")] = answer
    return [_prediction(rows, answers) for rows in groups], events


def _part(part: Part, observations: np.ndarray, request_id: str, now: datetime) -> Iterator[tuple[dict, dict]]:
    """The answer and the event of every decision of one version."""
    version, decided = part.manifest.version, part.decisions
    mode = "online" if part.shown else "shadow"
    stem = hashlib.sha256(f"{request_id} {version} {mode}".encode()).hexdigest()[:24]
    actions, propensities = decided.actions.tolist(), decided.propensities.tolist()
    for i, row in enumerate(part.rows.tolist()):
        shared = {"event_id": f"{stem}{row:08x}", "action": actions[i], "propensity": propensities[i]}
        event = shared | {
            "timestamp": now,
            "policy_version": version,
            "observation": observations[row],
            "probabilities": decided.probabilities[i],
            "mode": mode,
        }
        yield shared | {"policy_version": version, "row": row}, event


def _read(body: bytes) -> tuple[list[Any], str | None]:
    request = read_request(body)
    instances = request.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('request: instances is missing or empty; send {"instances": [[number, ...], ...]}')
    parameters = request.get("parameters") or {}
    request_id = parameters.get("request_id") if isinstance(parameters, dict) else parameters
    if request_id is not None and not (isinstance(request_id, str) and 16 <= len(request_id) <= 64):
        raise InvalidInput(f"request: parameters.request_id = {request_id!r:.40}: give 16 to 64 characters, once")
    return instances, request_id


def _flatten(instances: list[Any]) -> tuple[list[Any], list[str | None], list[int | slice]]:
    """All observations as one batch, their users, and which of the rows answer each instance.

    An instance is an observation, or {"observation": ..., "user": ...} with one or, as Google's sample sends them, a
    list of them. The user is a key, if there is any, whose bearer always meets the same version.
    """
    flat: list[Any] = []
    users: list[str | None] = []
    groups: list[int | slice] = []
    for instance in instances:
        observation, user = _instance(instance)
        if isinstance(instance, dict) and isinstance(observation, list) and observation and _is_list(observation[0]):
            groups.append(slice(len(flat), len(flat) + len(observation)))
            flat.extend(observation)
        else:
            groups.append(len(flat))
            flat.append(observation)
        users += [user] * (len(flat) - len(users))
    return flat, users, groups


def _instance(instance: Any) -> tuple[Any, str | None]:
    if not isinstance(instance, dict):
        return instance, None
    user = instance.get("user")
    if not (user is None or (isinstance(user, str) and user)):
        raise InvalidInput(f"request: user = {user!r:.40}: give a key as text, the same at every visit")
    return instance.get("observation"), user


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _prediction(rows: int | slice, answers: list[dict[str, Any]]) -> dict[str, Any]:
    if isinstance(rows, int):
        return answers[rows]
    several = answers[rows]
    answer = {key: [one[key] for one in several] for key in ("event_id", "action", "propensity", "policy_version")}
    return answer | {"predicted_action": answer["action"]}  # the name in Google's sample
