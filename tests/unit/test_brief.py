"""Values and errors in messages: short, and as cheap for large input as for small."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from banditloop.rl_core.errors import brief
from banditloop.rl_core.settings.section import explain

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50, derandomize=True)
@given(json_values, st.integers(10, 80))
def test_a_value_is_written_as_python_writes_it_up_to_a_length(value, length):
    text = repr(value)
    expected = text if len(text) <= length else text[: length - 3] + "..."
    assert brief(value, length) == expected or len(text) > length  # a text's quotes depend on its whole
    assert len(brief(value, length)) <= length


class Item:
    """Fails when it is written."""

    def __repr__(self):
        raise AssertionError("the whole value was written")


def test_what_is_cut_off_is_never_written():
    assert brief([*range(100), Item()]).endswith("...")
    assert brief({"keys": {number: number for number in range(100)} | {"last": Item()}}).endswith("...")


@with_config(ConfigDict(extra="forbid"))
class Row(TypedDict):
    value: float


def test_only_the_first_problems_are_listed():
    values = {name * 1000: 1 for name in string.ascii_lowercase}
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Row).validate_python(values)
    message = explain(error.value, "row")
    assert message.endswith("; and 19 more")
    assert message.startswith("row.value: Field required; row.aaaaa")
    assert len(message) < 1500
