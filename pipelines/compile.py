"""Compiles pipelines and components to KFP IR files (YAML)."""

import json
from pathlib import Path
from typing import Any, NoReturn

import yaml

from banditloop.components import IMAGE
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.pipeline_specs.lint import has_type
from banditloop.rl_core.pipeline_specs.template import check_template, declared_parameters, read_template
from banditloop.rl_core.settings.section import check_integers
from banditloop.rl_core.settings.training import TrainingSection

TRAINER = "exec-trainer"


def compile_pipelines(folder: Path, config: Config | None = None, image: str | None = None) -> list[Path]:
    """Write startup.yaml and retraining.yaml to a folder, and return their paths.

    All tasks run in `image`, by default the config's. The trainer's task requests the resources of the config's
    training section.
    """
    from banditloop.pipelines.retraining import retraining  # kfp takes a second to import
    from banditloop.pipelines.startup import startup

    pipelines = {"startup": startup, "retraining": retraining}
    return [_compile(pipeline, folder / f"{name}.yaml", config, image) for name, pipeline in pipelines.items()]


def export_components(folder: Path, config: Config | None = None, image: str | None = None) -> list[Path]:
    """Write each component as a YAML file for `kfp.components.load_component_from_file`, and return their paths."""
    from banditloop.components.deployer import deployer
    from banditloop.components.evaluator import evaluator
    from banditloop.components.generator import generator
    from banditloop.components.ingester import ingester
    from banditloop.components.trainer import trainer

    components = (generator, ingester, trainer, evaluator, deployer)
    return [_compile(component, folder / f"{component.name}.yaml", config, image) for component in components]


def read_parameters(template: Path, texts: list[str]) -> dict[str, Any]:
    """Parse KEY=VALUE texts as parameters of a template, by the types that it declares.

    Values are texts or JSON (not YAML, to which 0100 is 64 and 12:30 is 750).

    Raises:
        InvalidInput: a text is not KEY=VALUE, its key is not declared, or its value has another type or is not exact.
    """
    declared = declared_parameters(read_template(template))
    return dict(_parameter(text, declared) for text in texts)


def _parameter(text: str, declared: dict[str, dict[str, Any]]) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key not in declared:
        raise InvalidInput(f"parameter {text!r}: give KEY=VALUE with a key of: {', '.join(sorted(declared))}")
    kind = declared[key]["parameterType"]
    if kind == "STRING":
        return key, value
    try:
        parsed = json.loads(value, parse_constant=_refuse)
    except ValueError:
        parsed = None
    if kind == "NUMBER_INTEGER" and isinstance(parsed, float) and parsed.is_integer():
        parsed = int(parsed)  # 1e3
    if not has_type(parsed, kind):
        raise InvalidInput(f"parameter {key} = {value!r}: is not of type {kind}, as JSON writes it")
    check_integers(parsed, f"parameter {key}")
    return key, parsed


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _compile(component: Any, path: Path, config: Config | None, image: str | None) -> Path:
    """Compile a component or pipeline, set images and resources, and check the result."""
    from kfp import compiler

    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(component, str(path))
    spec = yaml.safe_load(path.read_text())  # a single document: Vertex AI rejects a second one with platform settings
    image = image or (config and config.backend.container_image()) or IMAGE  # the placeholder: local runs use no image
    for name, executor in spec["deploymentSpec"]["executors"].items():
        executor["container"]["image"] = image
        if config and name == TRAINER and (resources := _resources(config.training)):
            executor["container"]["resources"] = resources
    path.write_text(yaml.safe_dump(spec, sort_keys=False, width=120))
    check_template(path, remote=image != IMAGE)
    return path


def _resources(training: TrainingSection) -> dict[str, Any]:
    """The resources of the trainer's task as KFP IR; none if a custom job trains, for which the task only waits."""
    resources: dict[str, Any] = {}
    if training.machine_type:
        return resources
    if training.cpus:
        resources |= {"cpuLimit": float(training.cpus), "resourceCpuLimit": str(training.cpus)}
    if training.memory_gb:
        resources |= {"memoryLimit": training.memory_gb, "resourceMemoryLimit": f"{training.memory_gb:g}G"}
    if kind := training.accelerator:
        count = str(training.accelerator_count)
        resources["accelerator"] = {"type": kind, "count": count, "resourceType": kind, "resourceCount": count}
    return resources
