"""Compiled pipelines, and whether parameters are those they ask for: KFP and Vertex AI find out late, or never."""

from pathlib import Path
from typing import Any

import yaml

from rl_core.errors import InvalidInput

TYPES: dict[str, tuple[type, ...]] = {
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "STRING": (str,),
    "STRUCT": (dict,),
    "LIST": (list,),
}


def read_template(path: Path) -> dict[str, Any]:
    """The specification in a compiled pipeline.

    Raises:
        InvalidInput: it is none, or one of several documents, which Vertex AI refuses.
    """
    try:
        spec = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"template {path}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        spec = None
    if not (isinstance(spec, dict) and isinstance(spec.get("root"), dict) and "pipelineInfo" in spec):
        raise InvalidInput(f"template {path}: not a compiled pipeline; `banditloop compile` writes them")
    return spec


def declared(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The parameters that a pipeline has, by name."""
    return spec["root"].get("inputDefinitions", {}).get("parameters", {})


def checked(path: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """The specification in a compiled pipeline, whose parameters these are.

    Raises:
        InvalidInput: one is missing, unknown, or of another type; names it.
    """
    spec = read_template(path)
    known = declared(spec)
    for key, value in parameters.items():
        if key not in known:
            raise InvalidInput(f"parameter {key!r}: is not one of: {', '.join(sorted(known))}")
        kind = known[key]["parameterType"]
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise InvalidInput(f"parameter {key} = {value!r:.80}: is not of type {kind}")
    for key, about in known.items():
        if key not in parameters and not about.get("isOptional") and "defaultValue" not in about:
            raise InvalidInput(f"parameter {key!r}: is missing; {path.name} needs it")
    return spec
