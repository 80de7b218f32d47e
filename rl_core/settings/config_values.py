"""The values of a config, not yet validated: from a TOML or JSON file, or from the environment variable."""

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from banditloop.rl_core.errors import InvalidInput

ENVIRONMENT_VARIABLE = "BANDITLOOP_CONFIG"


def read_values(path: str | Path) -> Any:
    """The values in a TOML or JSON file, not yet validated. InvalidInput: it cannot be read."""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise InvalidInput(f"config {path}: {error.strerror}; give the path of a TOML or JSON file") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"config {path}: {error}") from None
    return _decode(text, str(path), json.loads if str(path).endswith(".json") else tomllib.loads)


def values_from_environment() -> Any:
    """The values in $BANDITLOOP_CONFIG (JSON, or the path of a file), not yet validated. InvalidInput: not set."""
    value = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if not value:
        raise InvalidInput(f"${ENVIRONMENT_VARIABLE} is not set; give a config as JSON or the path of its file")
    path = path_from_environment()
    return read_values(path) if path else _decode(value, f"${ENVIRONMENT_VARIABLE}", json.loads)


def path_from_environment() -> str:
    """The path in $BANDITLOOP_CONFIG; empty if it is not set, or JSON."""
    value = os.environ.get(ENVIRONMENT_VARIABLE, "")
    return "" if value.lstrip().startswith("{") else value


def _decode(text: str, source: str, decoder: Callable[[str], Any]) -> Any:
    try:
        return decoder(text)
    except ValueError as error:
        raise InvalidInput(f"config {source}: {error}") from None
