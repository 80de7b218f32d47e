"""The OpenAPI description of the endpoint, derived from the types that validate its requests."""

from typing import Any

from pydantic import TypeAdapter

from banditloop.rl_core.events.schema import MAX_ABS_VALUE, MAX_ID_LENGTH, REWARD, row_type
from banditloop.rl_core.serving.predict_request import INSTANCE

ERRORS = {
    "400": "the request is invalid; `error` gives the reason",
    "401": "the endpoint's token is missing or wrong",
    "405": "the route does not support the method",
    "408": "the request body did not arrive in time",
    "413": "the request body is too large",
    "429": "too many requests in flight; retry after Retry-After seconds",
    "503": "temporarily unavailable; retry after Retry-After seconds",
}


def document(predict_route: str, reward_route: str, activate_route: str, dim: int | None) -> dict[str, Any]:
    """The OpenAPI document of an endpoint with these routes, whose observations have `dim` numbers (None: any)."""
    number = {"type": "number", "minimum": -MAX_ABS_VALUE, "maximum": MAX_ABS_VALUE}
    observation = {"type": "array", "items": number} | ({"minItems": dim, "maxItems": dim} if dim else {})
    instance = INSTANCE.json_schema()
    instance["properties"]["observation"] = {"anyOf": [observation, _list(observation)]}
    instance["required"] = ["observation"]
    reward = TypeAdapter(row_type(REWARD)).json_schema()
    reward["required"] = ["event_id", "value"]
    request_id = {"type": "string", "minLength": 16, "maxLength": 64}
    parameters = {"type": "object", "properties": {"request_id": request_id}}
    event_id = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
    accepted = {"202": "stored"}
    paths = {
        predict_route: _post(
            "An action for every instance; each decision is logged.",
            {"instances": _list({"anyOf": [observation, instance]}), "parameters": parameters},
            ["instances"],
            {"200": "one prediction per instance"},
        ),
        reward_route: _post("Rewards of decisions.", {"rewards": _list(reward)}, ["rewards"], accepted),
        activate_route: _post(
            "Deferred decisions that were shown.", {"event_ids": _list(event_id)}, ["event_ids"], accepted
        ),
    }
    return {"openapi": "3.1.0", "info": {"title": "banditloop", "version": "1"}, "paths": paths}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


def _post(summary: str, properties: dict[str, Any], required: list[str], success: dict[str, str]) -> dict[str, Any]:
    body = {"type": "object", "properties": properties, "required": required}
    content = {"application/json": {"schema": body}}
    responses = {
        status: {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}
        for status, text in (success | ERRORS).items()
    }
    return {"post": {"summary": summary, "requestBody": {"required": True, "content": content}, "responses": responses}}
