"""Checks of a config section: the round trip through a pipeline parameter, and values that it must refuse."""

import json
from typing import Any

import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.section import Section


def as_pipeline_parameter(section: Section) -> dict[str, Any]:
    """The values of a section as a pipeline task receives them: without nulls, every integer a float."""
    return json.loads(section.model_dump_json(exclude_none=True), parse_int=float)


def assert_refused(section: Section, key: str, value: Any, where: str) -> None:
    """Assert that the section refuses the value in one line that names the key."""
    values = section.model_dump(mode="json") | {key: value}
    with pytest.raises(InvalidInput) as error:
        type(section).parse(values, where)
    assert f"{where}.{key}" in str(error.value)
    assert "\n" not in str(error.value)
