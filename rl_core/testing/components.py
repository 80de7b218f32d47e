"""A component run alone under kfp.local, with artifacts as inputs, which kfp.local itself refuses."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from banditloop.rl_core.backends.local.kfp_local import kfp_local
from banditloop.rl_core.errors import InvalidInput

PARAMETERS = {"String": str, "Integer": int, "Float": float, "Boolean": bool, "Dict": dict, "List": list}


def run_component(component: Any, /, *, pipeline_root: Path | None = None, **inputs: Any) -> dict[str, Any]:
    """The outputs of a component, by name: values of parameters, and artifacts with path and metadata.

    It runs as on a cluster, in a process of its own with this Python environment, and is never cached.

    component: of this package, of your own, or loaded by `kfp.components.load_component_from_file`. pipeline_root:
    where the outputs are written; None: a temporary folder, removed when this process ends. inputs: parameters by name,
    and for artifacts a path or another artifact, such as an output of a component that ran before, whose metadata are
    kept.

    Raises:
        InvalidInput: an input is missing or unknown.
        RuntimeError: the component failed; its output was printed.
    """
    from kfp import dsl

    spec = component.component_spec
    _check_inputs(spec.name, spec.inputs or {}, inputs)
    fields = [(name, _type(output.type)) for name, output in (spec.outputs or {}).items()]
    outputs = NamedTuple("outputs", fields)  # type: ignore[misc]

    def run():  # type: ignore[no-untyped-def]
        arguments = {key: _argument(spec.inputs[key].type, value) for key, value in inputs.items()}
        task = component(**arguments).set_caching_options(False)
        return outputs(**task.outputs)

    run.__annotations__["return"] = outputs
    with kfp_local(pipeline_root or _temporary_root()):
        return dict(dsl.pipeline(name=f"run-{spec.name}".replace("_", "-"))(run)().outputs)


def _temporary_root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="run-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _check_inputs(name: str, declared: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for key in given:
        if key not in declared:
            raise InvalidInput(f"{name}: has no input {key!r}; it has: {', '.join(declared)}")
    for key, definition in declared.items():
        if key not in given and not definition.optional:
            kind = "value" if definition.type in PARAMETERS else "path or an artifact"
            raise InvalidInput(f"{name}: the input {key!r} is missing; give a {kind} ({definition.type})")


def _argument(kind: str, value: Any) -> Any:
    """The argument for an input: the value of a parameter, or an imported artifact."""
    from kfp import dsl

    if kind in PARAMETERS:
        return value
    metadata = {name: item for name, item in getattr(value, "metadata", {}).items() if item is not None}
    path = Path(value.path if isinstance(value, dsl.Artifact) else value).absolute()
    if not path.exists():
        raise InvalidInput(f"artifact {path}: there is no such file or folder")
    return dsl.importer(artifact_uri=str(path), artifact_class=_type(kind), metadata=metadata or None).output


def _type(kind: str) -> Any:
    """The Python type of an input or output, by the type that its spec names."""
    from kfp import dsl

    name = kind.partition("@")[0].removeprefix("system.")
    return PARAMETERS.get(kind) or getattr(dsl, name, dsl.Artifact)
