"""Components in the form of kubeflow/pipelines-components, the hub of Kubeflow Pipelines.

Its rules (docs/CONTRIBUTING.md there, and the scripts that check them): a component file imports nothing but kfp and
the standard library at its top, names its image literally, and describes all parameters in `Args:`; beside it stand
its metadata, its owners, and a README as the hub's generator writes it.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from banditloop.pipelines.compile import components
from banditloop.pipelines.hub_readme import category_index, component_in, component_readme
from banditloop.rl_core.errors import InvalidInput

CATEGORIES = {
    "generator": "data_processing",
    "ingester": "data_processing",
    "trainer": "training",
    "evaluator": "evaluation",
    "deployer": "deployment",
    "planner": "data_processing",
    "accumulator": "training",
    "merger": "training",
    "on_policy_trainer": "training",
    "selector": "evaluation",
    "tuner": "training",
}
IMAGE = "ghcr.io/kubeflow/pipelines-components-banditloop:main"  # where the hub publishes the image of a Containerfile
STABILITY = "beta"


def export_hub(folder: Path, approvers: Sequence[str], image: str | None = None) -> list[Path]:
    """Write components/CATEGORY/bandit_NAME into a folder, such as a clone of the hub, and return these folders.

    approvers: GitHub names of members of the Kubeflow community. image: that the tasks run in; IMAGE if None.

    Raises:
        InvalidInput: nobody approves.
    """
    if not approvers:
        raise InvalidInput("--approver: name at least one member of the Kubeflow community, by GitHub name")
    written = []
    for component in components():
        category = CATEGORIES[component.python_func.__name__]
        path = folder / "components" / category / f"bandit_{component.python_func.__name__}"
        for name, text in _files(component, path.name, category, approvers, image or IMAGE).items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        written.append(path)
    for category in sorted(set(CATEGORIES.values())):
        index = folder / "components" / category
        (index / "README.md").write_text(category_index(index))
    return written


def _files(component: Any, name: str, category: str, approvers: Sequence[str], image: str) -> dict[str, str]:
    from kfp import __version__

    source = _source(component, image)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    metadata = {
        "name": name,
        "stability": STABILITY,
        "dependencies": {"kubeflow": [{"name": "Pipelines", "version": f">={__version__}"}]},
        "tags": [category, "contextual_bandits", "reinforcement_learning"],
        "lastVerified": today,
    }
    owners = {"approvers": list(approvers)}
    function, title = component.python_func.__name__, "".join(word.capitalize() for word in name.split("_"))
    return {
        "component.py": source,
        "metadata.yaml": "---\n" + yaml.safe_dump(metadata, sort_keys=False),
        "OWNERS": yaml.safe_dump(owners),
        "README.md": component_readme(source, metadata, owners),
        "__init__.py": f'from .component import {function}\n\n__all__ = ["{function}"]\n',
        "tests/__init__.py": "",
        "tests/test_component_unit.py": UNIT_TEST.format(name=name, function=function, title=title),
    }


def _source(component: Any, image: str) -> str:
    """The file of a component with a literal image, without this package's imports, and with all parameters in Args."""
    source = Path(inspect.getfile(component.python_func)).read_text()
    node = component_in(source)
    lines, docstring = source.splitlines(), node.body[0]
    lines[docstring.lineno - 1 : docstring.end_lineno] = textwrap.indent(
        _docstring(component, node), "    "
    ).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("from banditloop.")) + "\n"
    text = text.replace("base_image=IMAGE", f'base_image="{image}"')
    text = re.sub(r"dsl\.Output\[(\w+)\]", "dsl.Output[dsl.Artifact]", text)  # types of this package
    return re.sub(r"\n{4,}", "\n\n\n", text)


def _docstring(component: Any, node: ast.FunctionDef) -> str:
    """The docstring of a component with artifacts that it writes in Args, and its own result alone in Returns."""
    spec = component.component_spec
    described = {name: item.description for name, item in {**(spec.inputs or {}), **spec.outputs}.items()}
    text = (ast.get_docstring(node) or "").partition("\n\nArgs:")[0]
    arguments = "\n".join(f"    {argument.arg}: {described[argument.arg]}" for argument in node.args.args)
    result = f"\n\nReturns:\n    {described['Output']}" if "Output" in described else ""
    return f'"""{text}\n\nArgs:\n{arguments}{result}\n"""'


UNIT_TEST = '''"""Tests for the {name} component."""

from kfp import compiler

from ..component import {function}


class Test{title}UnitTests:
    """Unit tests of what a pipeline's author relies on."""

    def test_it_compiles_with_described_inputs(self, tmp_path):
        """Test that the component compiles, and that every input is described."""
        compiler.Compiler().compile({function}, str(tmp_path / "component.yaml"))
        assert all(spec.description for spec in {function}.component_spec.inputs.values())
'''
