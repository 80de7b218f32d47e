"""The keyword arguments of environments that come from other packages."""

from typing import Annotated, Any

from pydantic import BeforeValidator


def _whole_numbers(values: Any) -> Any:
    """Whole floats as ints, at any depth: KFP turns the ints in pipeline parameters into floats."""
    if isinstance(values, dict):
        return {key: _whole_numbers(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_whole_numbers(value) for value in values]
    return int(values) if isinstance(values, float) and values.is_integer() else values


Arguments = Annotated[dict[str, Any], BeforeValidator(_whole_numbers)]
