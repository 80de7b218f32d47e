"""The sizes of CONTRIBUTING: a file outside tests has at most 200 lines, a function 40 without its docstring."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    file for folder in ("rl_core", "components", "functions", "pipelines") for file in (ROOT / folder).rglob("*.py")
)
FILE_LINES, FUNCTION_LINES = 200, 40


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(file):
    text = file.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {f.name: lines for f in functions if (lines := _lines(f) - _docstring_lines(f)) > FUNCTION_LINES} == {}


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def _docstring_lines(function) -> int:
    return _lines(function.body[0]) if ast.get_docstring(function) else 0
