"""Implementations of the ports. The backend section of the config names the function that connects them."""

import functools
import importlib

from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.process import log_as_json


def connect(config: Config) -> Platform:
    """The platform of the configured backend. Connections are opened, and folders created, on first use."""
    module, _, function = config.backend.CONNECT.partition(":")
    return getattr(importlib.import_module(module), function)(config)


@functools.cache
def platform_from_environment() -> tuple[Config, Platform]:
    """The config in $BANDITLOOP_CONFIG and its platform, for cloud functions: connected once, at the first event."""
    log_as_json()
    config = Config.from_environment()
    return config, connect(config)
