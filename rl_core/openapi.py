"""The endpoint's description for OpenAPI, derived from what checks its requests."""

from typing import Any

from pydantic import TypeAdapter

from rl_core.asking import INSTANCE
from rl_core.schema import LARGEST, LONGEST_ID, REWARD, row_type

ERRORS = {
    "400": "the request is wrong; `error` says how",
    "401": "the endpoint's token is missing",
    "405": "the method is another",
    "408": "the request stops on its way",
    "413": "the body is too large",
    "429": "too much is asked at the moment; come again after Retry-After seconds",
    "503": "not at the moment; come again after Retry-After seconds",
}


def document(predict: str, reward: str, activate: str, dim: int | None) -> dict[str, Any]:
    """The OpenAPI document of an endpoint whose observations have `dim` numbers, with the paths of its requests."""
    number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    observation = {"type": "array", "items": number} | ({"minItems": dim, "maxItems": dim} if dim else {})
    several = {"type": "array", "items": observation, "minItems": 1}
    named = INSTANCE.json_schema()
    named["properties"]["observation"] = {"anyOf": [observation, several]}
    named["required"] = ["observation"]
    earned = TypeAdapter(row_type(REWARD)).json_schema()
    earned["required"] = ["event_id", "value"]
    request_id = {"type": "string", "minLength": 16, "maxLength": 64}
    parameters = {"type": "object", "properties": {"request_id": request_id}}
    event_id = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}
    paths = {
        predict: _post(
            "An action for every instance, logged.",
            {"instances": _list({"anyOf": [observation, named]}), "parameters": parameters},
            ["instances"],
            {"200": "the predictions, one for each instance"},
        ),
        reward: _post("Rewards of decisions.", {"rewards": _list(earned)}, ["rewards"], {"202": "kept"}),
        activate: _post(
            "Deferred decisions that were shown.", {"event_ids": _list(event_id)}, ["event_ids"], {"202": "kept"}
        ),
    }
    return {"openapi": "3.1.0", "info": {"title": "banditloop", "version": "1"}, "paths": paths}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


def _post(summary: str, properties: dict[str, Any], required: list[str], good: dict[str, str]) -> dict[str, Any]:
    body = {"type": "object", "properties": properties, "required": required}
    content = {"application/json": {"schema": body}}
    responses = {
        status: {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}
        for status, text in (good | ERRORS).items()
    }
    return {"post": {"summary": summary, "requestBody": {"required": True, "content": content}, "responses": responses}}
