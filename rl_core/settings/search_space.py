"""The search space of a tuning: its dimensions, checked against the sections that they are settings of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.loop import PolicySection
from banditloop.rl_core.settings.on_policy import OnPolicySection
from banditloop.rl_core.settings.section import Section
from banditloop.rl_core.settings.tuning import AGENT_NAME, Parameter, TuningSection

SECTIONS: dict[str, type[Section]] = {"policy": PolicySection, "on_policy": OnPolicySection}


class Dimension(NamedTuple):
    """One setting of the search space: its key, its values, and the agents that it is tried with."""

    key: str
    parameter: Parameter
    agents: tuple[str, ...]
    whole: bool  # whether it is a whole number


def with_parameters(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config with some settings changed, by key such as agent.alpha.

    Another agent has none of the settings of the one before.
    """
    changed = dict(values)
    name = parameters.get(AGENT_NAME)
    if name is not None and name != changed.get("agent", {}).get("name"):
        changed["agent"] = {"name": name}
    for key, value in parameters.items():
        section, _, setting = key.partition(".")
        changed[section] = dict(changed.get(section, {})) | {setting: value}
    return changed


def dimensions(tuning: TuningSection, agents: Mapping[str, type[Section]]) -> list[Dimension]:
    """The search space, that of the agent's name first; agents: the classes of those to try, by name.

    Raises:
        InvalidInput: a setting is to be tried with an agent that is not tried.
    """
    space = []
    for key, parameter in tuning.parameters():
        section, _, setting = key.partition(".")
        names = _agents_with(key, setting, parameter, agents) if section == "agent" else tuple(agents)
        if section != "agent" and parameter.agents:
            raise InvalidInput(f"tuning.search_space.{key}.agents: settings of {section} are tried with every agent")
        classes = [agents[name] for name in names] if section == "agent" else [SECTIONS[section]]
        whole = any(kind.model_fields[setting].annotation is int for kind in classes if setting in kind.model_fields)
        space.append(Dimension(key, parameter, names, whole))
    return space


def check_space(space: Sequence[Dimension], values: Mapping[str, Any], parse: Callable[[Any], Any]) -> None:
    """Check that every value to try is one that its section accepts.

    values: of the config; parse: makes a config of changed values. InvalidInput: names the setting and the value.
    """
    for key, parameter, agents, _ in space:
        for name in agents:
            for value in parameter.ends:
                try:
                    parse(with_parameters(values, {AGENT_NAME: name} | {key: value}))
                except InvalidInput as error:
                    raise InvalidInput(f"tuning.search_space.{error}") from None


def _agents_with(key: str, setting: str, parameter: Parameter, agents: Mapping[str, type[Section]]) -> tuple[str, ...]:
    """The agents that a setting is tried with: those named, else those that have it, else all, which then refuse it."""
    for name in parameter.agents:
        if name not in agents:
            raise InvalidInput(f"tuning.search_space.{key}.agents: {name!r} is not one of: {', '.join(agents)}")
    with_setting = tuple(name for name, kind in agents.items() if setting in kind.model_fields)
    return tuple(parameter.agents) or with_setting or tuple(agents)


def read_value(dimension: Dimension, written: Any) -> Any:
    """A value of a setting that a platform passes on, as a text or as a number: 4 comes as "4.0"."""
    key, parameter, _, whole = dimension
    if not parameter.values:
        return int(float(written)) if whole else float(written)
    for value in parameter.values:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if str(value) == str(written) or (is_number and _number(written) == value):
            return value
    raise InvalidInput(f"tuning.search_space.{key}: {written!r} is not one of: {', '.join(map(str, parameter.values))}")


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
