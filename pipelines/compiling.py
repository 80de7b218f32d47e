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


def image_of(config: Config) -> str:
    """The image of a config's tasks: on one machine they run without."""
    return config.backend.image if isinstance(config.backend, GoogleBackend) else IMAGE


def compile_pipelines(folder: Path, image: str = IMAGE) -> list[Path]:
    """Write startup.yaml and retraining.yaml, every task pinned to `image`, and return their paths."""
    from pipelines.retraining import retraining  # kfp takes a second to import
    from pipelines.startup import startup

    named = {"startup": startup, "retraining": retraining}
    return [_compile(pipeline, folder / f"{name}.yaml", image) for name, pipeline in named.items()]


def export_components(folder: Path, image: str = IMAGE) -> list[Path]:
    """Write each component as a YAML file for `kfp.components.load_component_from_file`, and return their paths."""
    from components.deployer import deployer
    from components.evaluator import evaluator
    from components.generator import generator
    from components.ingester import ingester
    from components.trainer import trainer

    parts = (generator, ingester, trainer, evaluator, deployer)
    return [_compile(component, folder / f"{component.name}.yaml", image) for component in parts]


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


def _compile(thing: Any, path: Path, image: str) -> Path:
    from kfp import compiler

    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(thing, str(path))
    spec = yaml.safe_load(path.read_text())  # one document: Vertex AI refuses a second with a platform's settings
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    path.write_text(yaml.safe_dump(spec, sort_keys=False, width=120))
    sound(path, elsewhere=image != IMAGE)
    return path
