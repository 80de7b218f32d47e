"""Pipelines and components as KFP IR files."""

from pathlib import Path
from typing import Any

import yaml

from components import IMAGE
from rl_core.backend import GoogleBackend
from rl_core.backends.soundness import is_of
from rl_core.backends.templates import declared, read_template, sound
from rl_core.config import Config
from rl_core.errors import InvalidInput

TRAINER = "exec-trainer"


def compile_pipelines(folder: Path, config: Config | None = None, image: str | None = None) -> list[Path]:
    """Write startup.yaml and retraining.yaml and return their paths.

    Every task is pinned to `image`, without it to the config's, and the trainer's asks for what the config says.
    """
    from pipelines.retraining import retraining  # kfp takes a second to import
    from pipelines.startup import startup

    named = {"startup": startup, "retraining": retraining}
    return [_compile(pipeline, folder / f"{name}.yaml", config, image) for name, pipeline in named.items()]


def export_components(folder: Path, config: Config | None = None, image: str | None = None) -> list[Path]:
    """Write each component as a YAML file for `kfp.components.load_component_from_file`, and return their paths."""
    from components.deployer import deployer
    from components.evaluator import evaluator
    from components.generator import generator
    from components.ingester import ingester
    from components.trainer import trainer

    parts = (generator, ingester, trainer, evaluator, deployer)
    return [_compile(component, folder / f"{component.name}.yaml", config, image) for component in parts]


def read_parameters(template: Path, given: list[str]) -> dict[str, Any]:
    """KEY=VALUE texts as a template's parameters, by the types it declares."""
    known = declared(read_template(template))
    return dict(_parameter(text, known) for text in given)


def _parameter(text: str, known: dict[str, dict[str, Any]]) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key not in known:
        raise InvalidInput(f"parameter {text!r}: write KEY=VALUE with a key of: {', '.join(sorted(known))}")
    kind = known[key]["parameterType"]
    if kind == "STRING":
        return key, value
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        parsed = None
    if not is_of(parsed, kind):
        raise InvalidInput(f"parameter {key} = {value!r}: is not of type {kind}")
    return key, parsed


def _compile(thing: Any, path: Path, config: Config | None, image: str | None) -> Path:
    from kfp import compiler

    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(thing, str(path))
    spec = yaml.safe_load(path.read_text())  # one document: Vertex AI refuses a second with a platform's settings
    backend = config.backend if config and isinstance(config.backend, GoogleBackend) else None
    image = image or (backend.image if backend else IMAGE)  # on one machine tasks run without
    for name, executor in spec["deploymentSpec"]["executors"].items():
        executor["container"]["image"] = image
        if backend and name == TRAINER and (asked := _resources(backend)):
            executor["container"]["resources"] = asked
    path.write_text(yaml.safe_dump(spec, sort_keys=False, width=120))
    sound(path, elsewhere=image != IMAGE)
    return path


def _resources(backend: GoogleBackend) -> dict[str, Any]:
    """What the trainer's task asks for, as KFP writes it down. Where a custom job trains, the task only waits."""
    asked: dict[str, Any] = {}
    if backend.trainer_machine:
        return asked
    if backend.trainer_cpus:
        asked |= {"cpuLimit": float(backend.trainer_cpus), "resourceCpuLimit": str(backend.trainer_cpus)}
    if backend.trainer_memory:
        asked |= {"memoryLimit": backend.trainer_memory, "resourceMemoryLimit": f"{backend.trainer_memory:g}G"}
    if kind := backend.trainer_accelerator:
        many = str(backend.trainer_accelerators)
        asked["accelerator"] = {"type": kind, "count": many, "resourceType": kind, "resourceCount": many}
    return asked
