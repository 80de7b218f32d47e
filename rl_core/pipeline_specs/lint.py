"""Static checks of compiled pipelines: errors that KFP's compiler accepts and platforms report late, or never."""

import re
from collections.abc import Iterator
from typing import Any

from banditloop.rl_core.settings.backend import IMAGE_HINT, is_pinned

TYPES: dict[str, tuple[type, ...]] = {
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "STRING": (str,),
    "STRUCT": (dict,),
    "LIST": (list,),
}
MAX_ARGUMENT_BYTES = 128 * 1024  # Linux's limit of one process argument: code and parameters are passed as such
ARGUMENT_LIMIT = f"{MAX_ARGUMENT_BYTES // 1024} KiB, the limit of a process argument"
NAME = r"[a-z0-9][a-z0-9-]{0,127}"
Spec = dict[str, Any]


def has_type(value: object, kind: str) -> bool:
    """Whether a value has a parameter type of KFP."""
    return isinstance(value, TYPES[kind]) and (kind == "BOOLEAN" or not isinstance(value, bool))


def is_required(definition: Spec) -> bool:
    """Whether a value must be given for the input with this definition."""
    return not definition.get("isOptional") and "defaultValue" not in definition


def errors(spec: Spec) -> Iterator[str]:
    """Errors of a pipeline spec that prevent it from running anywhere: in its name, references, types and sizes."""
    if not re.fullmatch(NAME, name := spec["pipelineInfo"].get("name", "")):
        yield f"name {name!r}: use lowercase letters, digits and -, at most 128 characters"
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for component in (spec["root"], *spec.get("components", {}).values()):
        if (label := component.get("executorLabel")) and label not in executors:
            yield f"executor {label!r}: does not exist"
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            yield from (f"task {name!r}: {error}" for error in _task_errors(spec, component, task))
    for name, container in _containers(spec).items():
        if any(len(word.encode()) >= MAX_ARGUMENT_BYTES for word in _command_line(container)):
            yield f"executor {name!r}: its code exceeds {ARGUMENT_LIMIT}"


def remote_errors(spec: Spec) -> Iterator[str]:
    """Further errors that prevent it from running in the containers of a platform."""
    for name, container in _containers(spec).items():
        if not is_pinned(container["image"]):
            yield f"executor {name!r}: image {container['image']!r}: {IMAGE_HINT}"
        if any(re.search(r"\bpip3? install\b", word) for word in _command_line(container)):
            yield f"executor {name!r}: installs packages at run time; put them into its image"


def _task_errors(spec: Spec, parent: Spec, task: Spec) -> Iterator[str]:
    components, siblings = spec.get("components", {}), parent["dag"]["tasks"]
    component = components.get(task["componentRef"]["name"])
    if component is None:
        yield f"component {task['componentRef']['name']!r}: does not exist"
        return
    for dependency in set(task.get("dependentTasks", [])) - siblings.keys():
        yield f"depends on {dependency!r}: there is no such task in the same DAG"
    parent_inputs = _definitions(parent, "inputDefinitions")
    outputs = {
        name: _definitions(components.get(sibling["componentRef"]["name"], {}), "outputDefinitions")
        for name, sibling in siblings.items()
    }
    inputs = _definitions(component, "inputDefinitions")
    sources = _parameters_and_artifacts(task.get("inputs", {})) | _loop_items(task)
    for key in sources.keys() - inputs.keys():
        yield f"input {key!r}: its component has no such input"
    for key, definition in inputs.items():
        if key in sources and (error := _source_error(sources[key], definition, parent_inputs, outputs)):
            yield f"input {key!r}: {error}"
        if key not in sources and is_required(definition):
            yield f"input {key!r}: is missing"


def _source_error(source: Spec, definition: Spec, parent_inputs: Spec, outputs: Spec) -> str:
    """What is wrong with the source of an input; empty if nothing is, or if the platform provides the value."""
    if "runtimeValue" in source:
        value, kind = source["runtimeValue"].get("constant"), definition["parameterType"]
        return "" if "{{$" in str(value) or has_type(value, kind) else f"{value!r:.80}: is not of type {kind}"
    name, origin = "", None
    if key := source.get("componentInputParameter") or source.get("componentInputArtifact"):
        name, origin = key, parent_inputs.get(key)
    elif output := source.get("taskOutputParameter") or source.get("taskOutputArtifact"):
        key = output.get("outputParameterKey") or output.get("outputArtifactKey")
        name, origin = f"{output['producerTask']}.{key}", outputs.get(output["producerTask"], {}).get(key)
    if name and origin is None:
        return f"{name!r}: there is no such input or output"
    if origin is None or "parameterExpressionSelector" in source or _is_assignable(_kind(origin), _kind(definition)):
        return ""
    return f"{name!r}: is of type {_kind(origin)}, not {_kind(definition)}"


def _is_assignable(source: str, target: str) -> bool:
    return (
        source == target
        or (source, target) == ("NUMBER_INTEGER", "NUMBER_DOUBLE")
        or "system.Artifact" in (source, target)
    )


def _kind(definition: Spec) -> str:
    return definition.get("parameterType") or definition.get("artifactType", {}).get("schemaTitle", "")


def _loop_items(task: Spec) -> Spec:
    """The inputs that a loop over parameters or artifacts provides, one item per iteration."""
    loops = (task.get("parameterIterator"), task.get("artifactIterator"))
    return {loop["itemInput"]: {} for loop in loops if loop}


def _definitions(component: Spec, key: str) -> Spec:
    return _parameters_and_artifacts(component.get(key, {}))


def _parameters_and_artifacts(groups: Spec) -> Spec:
    return {**groups.get("parameters", {}), **groups.get("artifacts", {})}


def _containers(spec: Spec) -> Spec:
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    return {name: executor["container"] for name, executor in executors.items() if "container" in executor}


def _command_line(container: Spec) -> list[str]:
    return [*container.get("command", []), *container.get("args", [])]
