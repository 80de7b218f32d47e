"""Implementations of the ports. The backend section of the config names the function that connects them."""

import functools
from collections.abc import Mapping
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.process import log_as_json
from banditloop.rl_core.settings.registry import imported


def connect(config: Config) -> Platform:
    """The platform of the configured backend. Connections are opened, and folders created, on first use."""
    return imported(config.backend.CONNECT)(config)


def connect_loop(values: Mapping[str, Any]) -> tuple[Config, Platform]:
    """The config of a loop and its platform. InvalidInput: the config is invalid, or names no backend."""
    config, platform = connect_if_any(values)
    if platform is None:
        raise InvalidInput('backend: is missing; name that of the loop, as {"name": "local", "root": "build/loop"}')
    return config, platform


def connect_if_any(values: Mapping[str, Any]) -> tuple[Config, Platform | None]:
    """The config of a component and its platform; None if the config names no backend: it then runs outside a loop."""
    config = Config.parse(values)
    return config, connect(config) if "backend" in values else None


@functools.cache
def platform_from_environment() -> tuple[Config, Platform]:
    """The config in $BANDITLOOP_CONFIG and its platform, for cloud functions: connected once, at the first event."""
    log_as_json()
    config = Config.from_environment()
    return config, connect(config)
