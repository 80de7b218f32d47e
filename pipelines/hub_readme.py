"""READMEs of components as the generator of kubeflow/pipelines-components writes them, which its checks compare."""

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

WIDTH = 120
INPUTS = "## Inputs 📥\n\n| Parameter | Type | Default | Description |\n|-----------|------|---------|-------------|"
OUTPUTS = "## Outputs 📤\n\n| Name | Type | Description |\n|------|------|-------------|"


def component_readme(source: str, metadata: dict[str, Any], owners: dict[str, Any]) -> str:
    """The README of a component's file: title, overview, inputs, outputs and metadata."""
    from docstring_parser import parse  # of kfp

    component = component_in(source)
    parsed = parse(ast.get_docstring(component) or "")
    described = {item.arg_name: item.description or "" for item in parsed.params}
    paragraphs = [parsed.short_description or "", *(parsed.long_description or "").split("\n\n")]
    wrapped = (textwrap.fill(" ".join(text.split()), WIDTH, break_on_hyphens=False) for text in paragraphs if text)
    sections = [
        f"# {title(metadata['name'])} ✨\n",
        f"> ⚠️ **Stability: {metadata['stability']}** — This asset is not yet stable and may change.\n",
        "## Overview 🧾\n",
        "\n\n".join(wrapped) + "\n",
        "\n".join([INPUTS, *_rows(component, described), ""]),
    ]
    if component.returns and parsed.returns:
        sections.append(f"{OUTPUTS}\n| Output | `{ast.unparse(component.returns)}` | {parsed.returns.description} |\n")
    return "\n".join([*sections, "## Metadata 🗂️\n", _bullets(metadata | {"owners": owners}, "- **{}**") + "\n"])


def category_index(category: Path) -> str:
    """The list of all components in a category of the hub, others' too."""
    items = {}
    for file in category.glob("*/component.py"):
        name = yaml.safe_load((file.parent / "metadata.yaml").read_text())["name"]
        overview = (ast.get_docstring(component_in(file.read_text())) or "").split("\n")[0].strip()
        items[title(name)] = f"- [{title(name)}](./{file.parent.name}/README.md): {overview[:WIDTH]}"
    name = title(category.name)
    listed = "\n".join(items[name] for name in sorted(items))
    return f"# {name} Components\n\nThis directory contains components in the **{name}** category:\n\n{listed}\n"


def component_in(source: str) -> ast.FunctionDef:
    """The component in a file."""
    return next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))


def title(name: str) -> str:
    """A name of words with underscores as a title."""
    return " ".join(word.capitalize() for word in name.replace("_", " ").split())


def _rows(component: ast.FunctionDef, described: dict[str, str]) -> list[str]:
    """The rows of the table of inputs."""
    arguments, defaults = component.args.args, [ast.unparse(default) for default in component.args.defaults]
    padded = ["None"] * (len(arguments) - len(defaults)) + [value.strip("'") or '""' for value in defaults]
    return [
        f"| `{argument.arg}` | `{ast.unparse(argument.annotation)}` | `{value}` | {described[argument.arg]} |"
        for argument, value in zip(arguments, padded, strict=True)
        if argument.annotation
    ]


def _bullets(values: dict[str, Any], key: str = "- {}", indent: str = "") -> str:
    """Metadata as nested lists."""
    lines = []
    for name, value in values.items():
        label = indent + key.format(title(re.sub("([a-z])([A-Z])", r"\1 \2", name)))
        if isinstance(value, dict):
            lines.append(f"{label}:\n" + _bullets(value, indent=f"{indent}  "))
        elif isinstance(value, list):
            texts = [", ".join(f"{title(k)}: {v}" for k, v in i.items()) if isinstance(i, dict) else i for i in value]
            lines.append("\n".join([f"{label}:", *(f"{indent}  - {text}" for text in texts)]))
        else:
            lines.append(f"{label}: {value}")
    return "\n".join(lines)
