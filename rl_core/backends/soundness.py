"""Whether a compiled pipeline can run: what KFP's compiler lets through, and a platform finds out late, or never."""

import re
from collections.abc import Iterator
from typing import Any

from rl_core.backend import WHAT_IMAGE, pinned

TYPES: dict[str, tuple[type, ...]] = {
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "STRING": (str,),
    "STRUCT": (dict,),
    "LIST": (list,),
}
ARGUMENT_BYTES = 128 * 1024  # what Linux passes to a process as one argument, which code and parameters are
NAME = r"[a-z0-9][a-z0-9-]{0,127}"
Spec = dict[str, Any]


def is_of(value: object, kind: str) -> bool:
    """Whether a value is of a parameter's type."""
    return isinstance(value, TYPES[kind]) and (kind == "BOOLEAN" or not isinstance(value, bool))


def faults(spec: Spec) -> Iterator[str]:
    """What is wrong with a specification wherever it runs: its name, references, types and sizes."""
    if not re.fullmatch(NAME, name := spec["pipelineInfo"].get("name", "")):
        yield f"name {name!r}: give it small letters, digits and -, at most 128"
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for component in (spec["root"], *spec.get("components", {}).values()):
        if (label := component.get("executorLabel")) and label not in executors:
            yield f"executor {label!r}: there is none of this name"
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            yield from (f"task {name!r}: {fault}" for fault in _task(spec, component, task))
    for name, container in _containers(spec).items():
        if any(len(part.encode()) >= ARGUMENT_BYTES for part in _words(container)):
            yield f"executor {name!r}: its code is over {ARGUMENT_BYTES // 1024} KiB, which no process can be given"


def faults_elsewhere(spec: Spec) -> Iterator[str]:
    """What is wrong with it besides, where its containers are not on this machine."""
    for name, container in _containers(spec).items():
        if not pinned(container["image"]):
            yield f"executor {name!r}: image {container['image']!r}: {WHAT_IMAGE}"
        if any(re.search(r"\bpip3? install\b", word) for word in _words(container)):
            yield f"executor {name!r}: installs packages when it runs; put them into its image"


def _task(spec: Spec, parent: Spec, task: Spec) -> Iterator[str]:
    components, siblings = spec.get("components", {}), parent["dag"]["tasks"]
    component = components.get(task["componentRef"]["name"])
    if component is None:
        yield f"component {task['componentRef']['name']!r}: there is none of this name"
        return
    for before in set(task.get("dependentTasks", [])) - siblings.keys():
        yield f"waits for {before!r}: there is no such task beside it"
    inputs = _all(parent, "inputDefinitions")
    outputs = {
        name: _all(components.get(sibling["componentRef"]["name"], {}), "outputDefinitions")
        for name, sibling in siblings.items()
    }
    wanted, given = _all(component, "inputDefinitions"), _flat(task.get("inputs", {})) | _iterated(task)
    for key in given.keys() - wanted.keys():
        yield f"input {key!r}: its component has no such input"
    for key, about in wanted.items():
        if key in given and (wrong := _wrong(given[key], about, inputs, outputs)):
            yield f"input {key!r}: {wrong}"
        if key not in given and not about.get("isOptional") and "defaultValue" not in about:
            yield f"input {key!r}: is missing"


def _wrong(source: Spec, wanted: Spec, inputs: Spec, outputs: Spec) -> str:
    """What is wrong with the source of an input; nothing where it is right, or the platform's own."""
    if "runtimeValue" in source:
        value, kind = source["runtimeValue"].get("constant"), wanted["parameterType"]
        return "" if "{{$" in str(value) or is_of(value, kind) else f"{value!r:.80}: is not of type {kind}"
    name, found = "", None
    if own := source.get("componentInputParameter") or source.get("componentInputArtifact"):
        name, found = own, inputs.get(own)
    elif of := source.get("taskOutputParameter") or source.get("taskOutputArtifact"):
        key = of.get("outputParameterKey") or of.get("outputArtifactKey")
        name, found = f"{of['producerTask']}.{key}", outputs.get(of["producerTask"], {}).get(key)
    if name and found is None:
        return f"{name!r}: there is no such input or output to take it from"
    if found is None or "parameterExpressionSelector" in source or _fits(_kind(found), _kind(wanted)):
        return ""
    return f"{name!r}: is of type {_kind(found)}, not {_kind(wanted)}"


def _fits(given: str, wanted: str) -> bool:
    return (
        given == wanted
        or (given, wanted) == ("NUMBER_INTEGER", "NUMBER_DOUBLE")
        or "system.Artifact" in (given, wanted)
    )


def _kind(definition: Spec) -> str:
    return definition.get("parameterType") or definition.get("artifactType", {}).get("schemaTitle", "")


def _iterated(task: Spec) -> Spec:
    """The inputs that a loop gives, one item at a time."""
    loops = (task.get("parameterIterator"), task.get("artifactIterator"))
    return {loop["itemInput"]: {} for loop in loops if loop}


def _all(component: Spec, definitions: str) -> Spec:
    return _flat(component.get(definitions, {}))


def _flat(groups: Spec) -> Spec:
    return {**groups.get("parameters", {}), **groups.get("artifacts", {})}


def _containers(spec: Spec) -> Spec:
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    return {name: executor["container"] for name, executor in executors.items() if "container" in executor}


def _words(container: Spec) -> list[str]:
    return [*container.get("command", []), *container.get("args", [])]
