"""The search space in Vertex AI's format, and the values of trials converted back."""

from collections.abc import Mapping, Sequence
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.settings.search_space import Dimension, read_value
from banditloop.rl_core.settings.tuning import AGENT_NAME


def parameter_specs(config: Config) -> list[dict[str, Any]]:
    """The parameters to tune, as `StudySpec.parameters`. Those of only some agents depend on the agent's name."""
    space = config.search_space()
    specs = [_spec(dimension) for dimension in space if _is_for_all(config, dimension)]
    for spec in specs:
        if spec["parameter_id"] == AGENT_NAME:
            spec["conditional_parameter_specs"] = [
                {"parameter_spec": _spec(dimension), "parent_categorical_values": {"values": list(dimension.agents)}}
                for dimension in space
                if not _is_for_all(config, dimension)
            ]
    return specs


def parameters_of(config: Config, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a trial by key, each in the type of its setting."""
    space = {dimension.key: dimension for dimension in config.search_space()}
    return {key: read_value(dimension, values[key]) for key, dimension in space.items() if key in values}


def _is_for_all(config: Config, dimension: Dimension) -> bool:
    return not config.tuning.agent_names or set(dimension.agents) == set(config.tuning.agent_names)


def _spec(dimension: Dimension) -> dict[str, Any]:
    key, parameter, _, whole = dimension
    spec: dict[str, Any] = {"parameter_id": key}
    if parameter.values:
        return spec | _listed(parameter.values)
    low, high = parameter.range()
    spec["scale_type"] = "UNIT_LOG_SCALE" if parameter.log else "UNIT_LINEAR_SCALE"
    if whole:
        return spec | {"integer_value_spec": {"min_value": int(low), "max_value": int(high)}}
    return spec | {"double_value_spec": {"min_value": low, "max_value": high}}


def _listed(values: Sequence[Any]) -> dict[str, Any]:
    """The specification of listed values: numbers, which Vertex AI wants sorted, or else texts."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return {"discrete_value_spec": {"values": sorted(values)}}
    return {"categorical_value_spec": {"values": [str(value) for value in values]}}
