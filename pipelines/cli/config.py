"""The commands that show the config: its values with their sources, and its JSON schema."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, group, load_config, load_values
from banditloop.rl_core.config import Config
from banditloop.rl_core.config_defaults import DEFAULT_BACKEND, REGISTRIES
from banditloop.rl_core.settings.registry import registered_parts

Source = Literal["file", "environment", "default", "backend", "simulator"]
OWN_CLASS = {  # its keys are checked when the config is parsed
    "description": "a class of your own, as module:Class",
    "properties": {"name": {"type": "string", "pattern": ":"}},
    "required": ["name"],
    "type": "object",
}
BACKEND_DEFAULTS = [("bus", "publish_seconds")]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
app = group()


@app.callback()
def config() -> None:
    """Show the config: every key with its value and source, and the JSON schema.

    Example: `banditloop config show -c loop.toml`

    Example: `banditloop config schema > schema.json`
    """


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every key of the resolved config with its value and source.

    Sources: `file`; `environment`, the variable BANDITLOOP_CONFIG; `default`; `backend`, a default that depends on the
    backend; `simulator`, the task of the config's environment.

    Example: `banditloop config show -c loop.toml --json`
    """
    values, origin = load_values(config)
    settings = load_config(config)  # names a value that is wrong
    keys = {
        f"{name}.{key}": {"value": value, "source": _source(values, name, key, origin)}
        for name, section in settings
        if section is not None
        for key, value in section.model_dump(mode="json").items()
    }
    rows = [{"key": key} | entry | {"value": str(entry["value"])} for key, entry in keys.items()]
    display.json_or_call(keys, as_json, lambda: display.table("config", rows))


@app.command()
def schema() -> None:
    """Print the JSON schema of the config.

    Example: `banditloop config schema > schema.json`
    """
    display.json_or_text(_json_schema(), True, "")


def _source(values: Mapping[str, Any], name: str, key: str, origin: Source) -> Source:
    """The source of a key of the section `name`."""
    if key in values.get(name, {}):
        return origin
    if name == "task" and name not in values:
        return "simulator"
    return "backend" if (name, key) in BACKEND_DEFAULTS else "default"


def _json_schema() -> dict[str, Any]:
    """The schema of the config, in which backend, environment and agent are each one of the registered ones."""
    registered = {section: registered_parts(registry, section) for section, (registry, _) in REGISTRIES.items()}
    classes: list[type[BaseModel]] = [Config, *(part for parts in registered.values() for part in parts.values())]
    references, content = models_json_schema([(model, "validation") for model in dict.fromkeys(classes)])
    definitions = content["$defs"]
    schema = definitions.pop("Config")
    del schema["required"]  # a task, unless an environment has one
    schema["anyOf"] = [{"required": ["task"]}, {"required": ["environment"]}]
    for section, parts in registered.items():
        named = [_named(references[part, "validation"], name) for name, part in parts.items()]
        base = REGISTRIES[section][1].__name__
        definitions[base] = {"oneOf": [*named, OWN_CLASS]}
        schema["properties"][section] = {"$ref": f"#/$defs/{base}"}
    return {"$schema": DRAFT, **schema, "$defs": definitions}


def _named(reference: dict[str, Any], name: str) -> dict[str, Any]:
    """The schema of a section that is chosen by its name."""
    required = {} if name == DEFAULT_BACKEND else {"required": ["name"]}
    return reference | {"properties": {"name": {"const": name}}} | required
