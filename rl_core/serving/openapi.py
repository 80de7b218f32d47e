"""The OpenAPI description of the endpoint, derived from the types that validate its requests."""

from typing import Any

from pydantic import TypeAdapter

from banditloop.rl_core.events.feature_types import features_type
from banditloop.rl_core.events.json_format import row_type
from banditloop.rl_core.events.schema import MAX_ABS_VALUE, REWARD
from banditloop.rl_core.serving.predict_request import INSTANCE
from banditloop.rl_core.serving.request_features import ContextReader
from banditloop.rl_core.serving.request_json import MAX_EVENTS
from banditloop.rl_core.settings.feature_kinds import Kind, Vector
from banditloop.rl_core.settings.task import MAX_ID_LENGTH, OPEN, Task

ACTION_ID = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}, {"type": "integer", "minimum": 0}]
}

ERRORS = {
    "400": "the request is invalid; `error` gives the reason",
    "401": "the endpoint's token is missing or wrong",
    "403": "without a token: Origin or Host is not the endpoint's",
    "405": "the route does not support the method",
    "408": "the request body did not arrive in time",
    "409": "an event_id or the request_id names another decision already",
    "413": "the request body is too large",
    "415": "without a token: Content-Type is not application/json",
    "429": "too many requests in flight; retry after Retry-After seconds",
    "431": "the head of the request is too large",
    "503": "temporarily unavailable; retry after Retry-After seconds",
}


def document(predict_route: str, reward_route: str, activate_route: str, task: Task) -> dict[str, Any]:
    """The OpenAPI document of an endpoint with these routes, for a task."""
    instance = INSTANCE.json_schema()
    instance["properties"]["actions"]["items"] = {"anyOf": [_action_id(task), _candidate(task)]}
    instances: list[dict[str, Any]] = [instance]
    listed = ["actions"] if task.actions == OPEN else []  # every request must list its candidates
    if task.plain is None:
        instance["properties"]["context"] |= ContextReader(task).json_schema()
        instance["required"] = ["context", *listed]
        del instance["properties"]["observation"]
    else:
        observation = _vector(task.context[task.plain])
        instance["properties"]["observation"] = {"anyOf": [observation, _list(observation)]}
        instance["required"] = ["observation", *listed]
        del instance["properties"]["context"]
        instances = [observation, instance]
    reward = TypeAdapter(row_type(REWARD)).json_schema()
    reward["required"] = ["event_id", "value"]
    del reward["properties"]["received_at"]  # which the endpoint sets
    reward["properties"]["value"] = {"anyOf": [reward["properties"]["value"], {"type": "boolean"}]}
    request_id = {"type": "string", "minLength": 16, "maxLength": 64}
    parameters = {"type": "object", "properties": {"request_id": request_id}, "additionalProperties": False}
    event_id = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
    accepted = {"202": "stored"}
    paths = {
        predict_route: _post(
            "An action for every instance; each decision is logged.",
            {"instances": _list({"anyOf": instances}), "parameters": parameters},
            ["instances"],
            {"200": "one prediction per instance"},
        ),
        reward_route: _post("Rewards of decisions.", {"rewards": _list(reward)}, ["rewards"], accepted),
        activate_route: _post(
            "Deferred decisions that were shown.", {"event_ids": _list(event_id)}, ["event_ids"], accepted
        ),
    }
    return {"openapi": "3.1.0", "info": {"title": "banditloop", "version": "1"}, "paths": paths}


def _vector(kind: Kind) -> dict[str, Any]:
    assert isinstance(kind, Vector)
    number = {"type": "number", "minimum": -MAX_ABS_VALUE, "maximum": MAX_ABS_VALUE}
    return {"type": "array", "items": number, "minItems": kind.vector, "maxItems": kind.vector}


def _candidate(task: Task) -> dict[str, Any]:
    features = TypeAdapter(features_type(task.action_features)).json_schema()
    return features | {"properties": {"id": _action_id(task)} | features["properties"], "required": ["id"]}


def _action_id(task: Task) -> dict[str, Any]:
    return {"enum": list(task.actions)} if isinstance(task.actions, list) else ACTION_ID


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": MAX_EVENTS}


def _post(summary: str, properties: dict[str, Any], required: list[str], success: dict[str, str]) -> dict[str, Any]:
    body = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    content = {"application/json": {"schema": body}}
    responses = {
        status: {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}
        for status, text in (success | ERRORS).items()
    }
    return {"post": {"summary": summary, "requestBody": {"required": True, "content": content}, "responses": responses}}
