"""Hyperparameters given beside a config, as a pipeline's own inputs."""

from collections.abc import Mapping
from typing import Any

from banditloop.rl_core.config import Config


def with_hyperparameters(
    config: Mapping[str, Any],
    agent: str = "",
    exploration: float | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    **typed: float | None,
) -> dict[str, Any]:
    """The values of a config with another agent, exploration or settings of the agent; None and empty: the config's.

    Settings of the config's agent are kept, unless another agent is named. hyperparameters and typed: settings of the
    agent by name; those that it does not have are refused when the config is parsed.

    Raises:
        InvalidInput: the config names no agent and is invalid: it is parsed to find its default agent.
    """
    values, typed_settings = dict(config), {key: value for key, value in typed.items() if value is not None}
    settings = dict(hyperparameters or {}) | typed_settings
    configured = dict(values.get("agent", {}))
    if agent and agent != configured.get("name"):
        values["agent"] = {"name": agent} | settings
    elif settings:
        values["agent"] = configured | settings if configured else {"name": Config.parse(values).agent.name} | settings
    if exploration is not None:
        values["policy"] = dict(values.get("policy", {})) | {"exploration": exploration}
    return values


def with_on_policy(config: Mapping[str, Any], settings: Mapping[str, int]) -> dict[str, Any]:
    """The values of a config with other settings of on-policy training, by their keys."""
    return dict(config) | {"on_policy": dict(config.get("on_policy", {})) | dict(settings)}
