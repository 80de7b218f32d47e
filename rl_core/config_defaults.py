"""Completion of a config's values: parts looked up by name, and defaults that depend on other sections."""

from collections.abc import Mapping
from typing import Any

from banditloop.rl_core.agents import AGENTS, Agent
from banditloop.rl_core.environments import ENVIRONMENTS, EpisodicEnvironment, Simulated
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.backend import BACKENDS, Backend
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.settings.task import Task

REGISTRIES: dict[str, tuple[Mapping[str, type[Any]], type[Any]]] = {  # the parts by name, and their base class
    "backend": (BACKENDS, Backend),
    "environment": (ENVIRONMENTS, Simulated),
    "agent": (AGENTS, Agent),
}
DEFAULT_BACKEND = "local"


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config with backend, environment and agent parsed, and with the defaults that depend on them.

    Raises:
        InvalidInput: one of these parts is unknown or has an invalid value, or there is no task.
    """
    values = dict(values)
    if isinstance(backend := values.get("backend", {}), Mapping):
        values["backend"] = {"name": DEFAULT_BACKEND} | dict(backend)
    for key, (registry, base) in REGISTRIES.items():
        if key in values:
            values[key] = registered(registry, base, values[key], key)
    values["task"] = _task(values)
    if isinstance(values.get("environment"), EpisodicEnvironment) and values.get("episodes") is None:
        values["episodes"] = {}
    if values.get("episodes") is not None and "agent" not in values:
        values["agent"] = AGENTS["dqn"](name="dqn")
    if "agent" in values and isinstance(policy := values.get("policy", {}), Mapping):
        values["policy"] = {"exploration": values["agent"].EXPLORATION} | dict(policy)
    if isinstance(bus := values.get("bus", {}), Mapping):
        values["bus"] = {"publish_seconds": values["backend"].PUBLISH_SECONDS} | dict(bus)
    return values


def _task(values: Mapping[str, Any]) -> Any:
    """The task of a config, or else that of its environment.

    A config in a pipeline parameter has both, so that the environment need not load its data.
    """
    if "task" in values:
        return values["task"] if isinstance(values["task"], Task) else Task.parse(values["task"], "task")
    if "environment" in values:
        return values["environment"].task
    raise InvalidInput("task: is missing; say what is decided, or name an environment, which does")
