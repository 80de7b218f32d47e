"""Tables of the config, the events and the HTTP requests, as Markdown, from the code."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import pyarrow as pa
from pydantic_core import PydanticUndefined

from banditloop.rl_core.agents import AGENTS
from banditloop.rl_core.agents.reward_models import REWARD_MODELS
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import ENVIRONMENTS
from banditloop.rl_core.events.schema import KEYS, REWARD, SCHEMA_VERSION, decision_schema, interaction_schema
from banditloop.rl_core.ports import PREDICT_ROUTE
from banditloop.rl_core.serving import openapi
from banditloop.rl_core.serving.http.endpoint import ACTIVATE_ROUTE, REWARD_ROUTE
from banditloop.rl_core.settings.backend import BACKENDS
from banditloop.rl_core.settings.section import Section
from banditloop.rl_core.settings.task import Task

PARTS = {  # chosen by name
    "backend": BACKENDS,
    "environment": ENVIRONMENTS,
    "agent": AGENTS,
    "agent.reward_model": REWARD_MODELS,
}
BOUNDS = {"exclusiveMinimum": "> {}", "minimum": "≥ {}", "exclusiveMaximum": "< {}", "maximum": "≤ {}"}
EXAMPLE = Task(actions=["politics", "sport"], context={"age": "number"}, action_features={"topic": "category"})


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def config() -> str:
    """A section with a table of its keys for each section of the config, and for each part that is chosen by name."""
    sections: dict[str, Any] = {name: _required(field.annotation) for name, field in Config.model_fields.items()}
    sections = {name: section for name, section in sections.items() if name not in PARTS}
    for part, classes in PARTS.items():
        sections |= {f'{part}, name = "{name}"': section for name, section in classes.items()}
    return "\n\n".join(_section(name, section) for name, section in sections.items())


def _required(kind: Any) -> Any:
    """The type of a section that may be missing."""
    return next((part for part in get_args(kind) if part is not type(None)), kind)


def _section(name: str, section: Any) -> str:
    schema = section.model_json_schema()["properties"]
    chosen = "," in name
    rows = [
        [f"`{key}`", _default(field.default), _allowed(schema[key]), field.description]
        for key, field in section.model_fields.items()
        if field.description and not (chosen and key == "name")
    ]
    heading, text = f"### {name}" if chosen else f"### [{name}]", " ".join(section.__doc__.split("\n\n")[0].split())
    return (
        f"{heading}\n\n{text}\n\n{table(['key', 'default', 'allowed', ''], rows)}" if rows else f"{heading}\n\n{text}"
    )


def _default(value: Any) -> str:
    return "" if value in (None, PydanticUndefined) else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    """A value as the config file has it; of a part that is chosen by name, its name."""
    if isinstance(value, Section) and hasattr(value, "name"):
        return f'{{name = "{value.name}"}}'
    return "{}" if value == {} else json.dumps(value)


def _allowed(schema: Mapping[str, Any]) -> str:
    """The choices or the bounds of a key; empty where its type is all that there is to say."""
    if "enum" in schema:
        return ", ".join(f"`{_toml(value)}`" for value in schema["enum"])
    bounds = [text.format(_number(schema[name])) for name, text in BOUNDS.items() if name in schema]
    kinds = {"integer": "a whole number", "boolean": "true, false"}
    return " ".join(filter(None, [kinds.get(schema.get("type", ""), ""), " and ".join(bounds)]))


def _number(value: float) -> str:
    return f"{value:,.12g}"


def events() -> str:
    """The fields of decisions, of interactions, and of rewards."""
    decision, interaction = decision_schema(EXAMPLE), interaction_schema(EXAMPLE)
    added = [field for field in interaction if field.name not in decision.names]
    parts = {"A decision": decision, "An interaction": added, "A reward": REWARD}
    texts = {
        "A decision": f"Its key is `{', '.join(KEYS['decisions'])}`.",
        "An interaction": "All fields of its decision, and",
        "A reward": f"Its key is `{', '.join(KEYS['rewards'])}`.",
    }
    return "\n\n".join(f"### {name}\n\n{texts[name]}\n\n{_fields(fields)}" for name, fields in parts.items())


def _fields(fields: Iterable[pa.Field]) -> str:
    rows = [
        [
            f"`{field.name}`",
            f"`{type_name(field.type)}`",
            "yes" if field.nullable else "",
            field.metadata[b"description"].decode(),
        ]
        for field in fields
    ]
    return table(["field", "type", "may be null", ""], rows)


def type_name(kind: pa.DataType) -> str:
    """The name of a field's type; the fields of structs are the task's."""
    if pa.types.is_list(kind):
        return f"list<{type_name(kind.value_type)}>"
    return "struct" if pa.types.is_struct(kind) else str(kind)


def requests() -> str:
    """The keys of the three requests, and the statuses of their answers."""
    paths = openapi.document(PREDICT_ROUTE, REWARD_ROUTE, ACTIVATE_ROUTE, EXAMPLE)["paths"]
    bodies = {
        path: route["post"]["requestBody"]["content"]["application/json"]["schema"] for path, route in paths.items()
    }
    instance = bodies[PREDICT_ROUTE]["properties"]["instances"]["items"]["anyOf"][-1]
    reward = bodies[REWARD_ROUTE]["properties"]["rewards"]["items"]
    descriptions = {field.name: field.metadata[b"description"].decode() for field in REWARD}
    descriptions["schema_version"] = f"version of the event schema; the present one is {SCHEMA_VERSION}"
    return "\n\n".join(
        [
            "### An instance of `POST /predict`",
            table(["key", ""], [[f"`{key}`", value["description"]] for key, value in instance["properties"].items()]),
            "### A reward of `POST /reward`",
            table(
                ["key", "required", ""],
                [
                    [f"`{key}`", "yes" if key in reward["required"] else "", descriptions[key]]
                    for key in reward["properties"]
                ],
            ),
            "### Statuses",
            table(["status", ""], [[status, text] for status, text in _statuses(paths).items()]),
        ]
    )


def _statuses(paths: Mapping[str, Any]) -> dict[str, str]:
    """The description of each status, of all routes."""
    answers: dict[str, str] = {}
    for path, route in paths.items():
        for status, answer in route["post"]["responses"].items():
            text = answer["description"]
            answers[status] = text if answers.get(status) in (None, text) else f"{answers[status]}; {path}: {text}"
    return dict(sorted(answers.items()))
