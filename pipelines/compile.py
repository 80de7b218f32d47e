"""Compiles pipelines and components to KFP IR files (YAML)."""

import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from banditloop.components import IMAGE
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.pipeline_specs.lint import has_type
from banditloop.rl_core.pipeline_specs.template import check_spec, declared_parameters, read_template
from banditloop.rl_core.settings.section import check_integers
from banditloop.rl_core.settings.training import TrainingSection

TRAINERS = "exec-trainer", "exec-on-policy-trainer", "exec-accumulator", "exec-merger"
OWN = "# Name: banditloop-"  # in the header of every pipeline of this package
RETRIES = {"maxRetryCount": 2, "backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "300s"}


def compile_pipelines(
    folder: Path, config: Config | None = None, image: str | None = None, keep_others: bool = False
) -> list[Path]:
    """Write startup.yaml and retraining.yaml, which every loop needs, to a folder, and return their paths.

    All tasks run in `image`, by default the config's. The tasks that train request the resources of the config's
    training section, and are several at a time with its `shards`. keep_others: whether files that were not compiled
    from pipelines of this package stay as they are.
    """
    from banditloop.pipelines.retraining import retraining  # kfp takes a second to import
    from banditloop.pipelines.startup import startup

    pipelines = {"startup": startup, "retraining": retraining}
    if config and config.training.shards > 1:
        from banditloop.pipelines.sharded import sharded_retraining, sharded_startup

        pipelines = {"startup": sharded_startup, "retraining": sharded_retraining}
    return _write(pipelines, folder, config, image, keep_others)


def compile_on_request(
    folder: Path, config: Config | None = None, image: str | None = None, keep_others: bool = False
) -> dict[str, Path]:
    """Write the pipelines that run only when somebody starts them, and return their paths by name.

    They are on-policy, experiments and tuning. keep_others: as above.
    """
    from banditloop.pipelines.experiments import experiments
    from banditloop.pipelines.on_policy import on_policy
    from banditloop.pipelines.tuning import tuning

    pipelines = {"on-policy": on_policy, "experiments": experiments, "tuning": tuning}
    return dict(zip(pipelines, _write(pipelines, folder, config, image, keep_others), strict=True))


def export_components(folder: Path, config: Config | None = None, image: str | None = None) -> list[Path]:
    """Write each component as a YAML file for `kfp.components.load_component_from_file`, and return their paths."""
    return _write({component.python_func.__name__: component for component in components()}, folder, config, image)


def components() -> tuple[Any, ...]:
    """The components, in the order of a pipeline."""
    from banditloop.components.accumulator import accumulator
    from banditloop.components.deployer import deployer
    from banditloop.components.evaluator import evaluator
    from banditloop.components.generator import generator
    from banditloop.components.ingester import ingester
    from banditloop.components.merger import merger
    from banditloop.components.on_policy_trainer import on_policy_trainer
    from banditloop.components.planner import planner
    from banditloop.components.selector import selector
    from banditloop.components.trainer import trainer
    from banditloop.components.tuner import tuner

    in_shards = planner, accumulator, merger
    return generator, ingester, trainer, evaluator, deployer, *in_shards, on_policy_trainer, selector, tuner


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


def _write(
    components: dict[str, Any], folder: Path, config: Config | None, image: str | None, keep_others: bool = False
) -> list[Path]:
    """Compile components or pipelines to files of these names: all of them or, if one is refused, none."""
    texts = {folder / f"{name}.yaml": _compile(part, name, config, image) for name, part in components.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        if not (keep_others and _is_other(path)):
            path.write_text(text)
    return list(texts)


def _is_other(path: Path) -> bool:
    """Whether a file was compiled from a pipeline of others. An empty file was left by a compiler that was killed."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return bool(text) and OWN not in text


def _compile(component: Any, name: str, config: Config | None, image: str | None) -> str:
    """A component or pipeline as KFP IR, with images and resources set; checked."""
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        compiler.Compiler().compile(component, str(Path(folder) / "compiled.yaml"))
        text = (Path(folder) / "compiled.yaml").read_text()
    header = "".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    spec = yaml.safe_load(text)  # a single document: Vertex AI rejects a second one with platform settings
    image = image or (config and config.backend.container_image()) or IMAGE  # the placeholder: local runs use no image
    for label, executor in spec["deploymentSpec"]["executors"].items():
        executor["container"]["image"] = image
        if config and label in TRAINERS and (resources := _resources(config.training, label)):
            executor["container"]["resources"] = resources
    if image != IMAGE:  # on this machine nothing fails by chance, and waiting would only hide the cause
        for task in _tasks(spec):
            task["retryPolicy"] = RETRIES
    check_spec(spec, f"{name}.yaml", remote=image != IMAGE)
    return header + yaml.dump(spec, Dumper=WithoutAliases, sort_keys=False, width=120)


class WithoutAliases(yaml.SafeDumper):
    """Writes equal values anew, since not every reader of templates knows aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whether a value is written anew: always."""
        return True


def _tasks(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tasks that run a container."""
    for component in (spec["root"], *spec["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            if "executorLabel" in spec["components"][task["componentRef"]["name"]]:
                yield task


def _resources(training: TrainingSection, label: str) -> dict[str, Any]:
    """The resources of a trainer's task as KFP IR; none if a custom job trains, for which the task only waits.

    On-policy the task itself always trains.
    """
    resources: dict[str, Any] = {}
    if training.machine_type and label == TRAINERS[0]:
        return resources
    if training.cpus:
        resources |= {"cpuLimit": float(training.cpus), "resourceCpuLimit": str(training.cpus)}
    if training.memory_gb:
        resources |= {"memoryLimit": training.memory_gb, "resourceMemoryLimit": f"{training.memory_gb:g}G"}
    if kind := training.accelerator:
        count = str(training.accelerator_count)
        resources["accelerator"] = {"type": kind, "count": count, "resourceType": kind, "resourceCount": count}
    return resources
