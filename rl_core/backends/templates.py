"""Compiled pipelines, and whether parameters are those they ask for: KFP and Vertex AI find out late, or never."""

import json
from pathlib import Path
from typing import Any

import yaml

from rl_core.backends.soundness import ARGUMENT_BYTES, faults, faults_elsewhere, is_of
from rl_core.errors import InvalidInput


def read_template(path: Path) -> dict[str, Any]:
    """The specification in a compiled pipeline.

    Raises:
        InvalidInput: it is none, or one of several documents, which Vertex AI refuses.
    """
    try:
        spec = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"template {path}: {error.strerror}") from None
    except yaml.composer.ComposerError:
        raise InvalidInput(f"template {path}: is several documents; Vertex AI takes one") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        spec = None
    if not (isinstance(spec, dict) and isinstance(spec.get("root"), dict) and "pipelineInfo" in spec):
        raise InvalidInput(f"template {path}: not a compiled pipeline; `banditloop compile` writes them")
    return spec


def declared(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The parameters that a pipeline has, by name."""
    return spec["root"].get("inputDefinitions", {}).get("parameters", {})


def checked(path: Path, parameters: dict[str, Any], *, elsewhere: bool = False) -> dict[str, Any]:
    """The specification in a compiled pipeline that can run, whose parameters these are; `elsewhere`, in containers.

    Raises:
        InvalidInput: a parameter is missing, unknown, or of another type, or the pipeline cannot run; names it.
    """
    spec = sound(path, elsewhere=elsewhere)
    known = declared(spec)
    for key, value in parameters.items():
        if key not in known:
            raise InvalidInput(f"parameter {key!r}: is not one of: {', '.join(sorted(known))}")
        if not is_of(value, known[key]["parameterType"]):
            raise InvalidInput(f"parameter {key} = {value!r:.80}: is not of type {known[key]['parameterType']}")
    for key, about in known.items():
        if key not in parameters and not about.get("isOptional") and "defaultValue" not in about:
            raise InvalidInput(f"parameter {key!r}: is missing; {path.name} needs it")
    if len(json.dumps(parameters)) >= ARGUMENT_BYTES:
        raise InvalidInput(f"parameters: are over {ARGUMENT_BYTES // 1024} KiB, which no process can be given")
    return spec


def sound(path: Path, *, elsewhere: bool) -> dict[str, Any]:
    """The specification in a compiled pipeline that can run; `elsewhere`, in containers of a platform.

    Raises:
        InvalidInput: it cannot; names the first fault.
    """
    spec = read_template(path)
    found = [*faults(spec), *(faults_elsewhere(spec) if elsewhere else ())]
    if found:
        raise InvalidInput(f"template {path}: {found[0]}")
    return spec
