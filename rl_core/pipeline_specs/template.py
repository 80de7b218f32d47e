"""Compiled pipelines and their parameters, validated before a run: KFP and Vertex AI report errors late, or never."""

import json
from pathlib import Path
from typing import Any

import yaml

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.pipeline_specs.lint import (
    ARGUMENT_LIMIT,
    MAX_ARGUMENT_BYTES,
    errors,
    has_type,
    is_required,
    remote_errors,
)
from banditloop.rl_core.settings.section import check_integers


def read_template(path: Path) -> dict[str, Any]:
    """The pipeline spec in a compiled pipeline.

    Raises:
        InvalidInput: it cannot be read, is not a compiled pipeline, or has several YAML documents, which Vertex AI
            refuses.
    """
    try:
        spec = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"template {path}: {error.strerror}") from None
    except yaml.composer.ComposerError:
        raise InvalidInput(f"template {path}: has several documents; Vertex AI takes one") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        spec = None
    if not (isinstance(spec, dict) and isinstance(spec.get("root"), dict) and "pipelineInfo" in spec):
        raise InvalidInput(f"template {path}: not a compiled pipeline; `banditloop compile` writes them")
    return spec


def declared_parameters(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Definitions of the pipeline's parameters, by name."""
    return spec["root"].get("inputDefinitions", {}).get("parameters", {})


def check_run(path: Path, parameters: dict[str, Any], *, remote: bool = False) -> dict[str, Any]:
    """The pipeline spec in a compiled pipeline that can run with these parameters; `remote`: on a platform.

    Raises:
        InvalidInput: a parameter or an artifact is missing, a parameter unknown or of another type, or the pipeline
            cannot run; names the first.
    """
    spec = check_template(path, remote=remote)
    for key, definition in spec["root"].get("inputDefinitions", {}).get("artifacts", {}).items():
        if is_required(definition):
            hint = "no run can be given artifacts; import it in a pipeline around it, by dsl.importer"
            raise InvalidInput(f"artifact {key!r}: is missing; {path.name} needs it, and {hint}")
    definitions = declared_parameters(spec)
    for key, value in parameters.items():
        if key not in definitions:
            raise InvalidInput(f"parameter {key!r}: is not one of: {', '.join(sorted(definitions))}")
        if not has_type(value, kind := definitions[key]["parameterType"]):
            raise InvalidInput(f"parameter {key} = {value!r:.80}: is not of type {kind}")
        check_integers(value, f"parameter {key}")
    for key, definition in definitions.items():
        if key not in parameters and is_required(definition):
            raise InvalidInput(f"parameter {key!r}: is missing; {path.name} needs it")
    if len(json.dumps(parameters)) >= MAX_ARGUMENT_BYTES:
        raise InvalidInput(f"parameters: exceed {ARGUMENT_LIMIT}")
    return spec


def check_template(path: Path, *, remote: bool) -> dict[str, Any]:
    """The pipeline spec in a compiled pipeline that can run; `remote`: on a platform, in containers.

    Raises:
        InvalidInput: it cannot run; names the first error.
    """
    spec = read_template(path)
    check_spec(spec, str(path), remote=remote)
    return spec


def check_spec(spec: dict[str, Any], name: str, *, remote: bool) -> None:
    """Check that a pipeline spec can run, if `remote` in containers. InvalidInput: names it and the first error."""
    problems = [*errors(spec), *(remote_errors(spec) if remote else ())]
    if problems:
        raise InvalidInput(f"template {name}: {problems[0]}")
