"""Implementations of the ports. The backend section of the config names the function that connects them."""

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.process import log_as_json


def connect(config: Config) -> Platform:
    """The platform of the configured backend. Connections are opened, and folders created, on first use."""
    module, _, function = config.backend.CONNECT.partition(":")
    return getattr(importlib.import_module(module), function)(config)


def connect_loop(values: Mapping[str, Any], who: str) -> tuple[Config, Platform]:
    """The config of a loop and its platform; `who`: needs one.

    Raises:
        InvalidInput: the config is invalid, or names no backend.
    """
    config = Config.parse(values)
    if "backend" not in values:
        raise InvalidInput(f'backend: is missing; {who} needs that of a loop, as {{"name": "local", "root": "…"}}')
    return config, connect(config)


@functools.cache
def platform_from_environment() -> tuple[Config, Platform]:
    """The config in $BANDITLOOP_CONFIG and its platform, for cloud functions: connected once, at the first event."""
    log_as_json()
    config = Config.from_environment()
    return config, connect(config)
