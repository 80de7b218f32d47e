"""TFRecord files are read as written; damage is told. That TensorFlow reads them, too, test_examples.py shows."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events import binary_columns
from banditloop.rl_core.events.example_columns import records as encoded
from banditloop.rl_core.events.example_layout import OtherLayout
from banditloop.rl_core.events.example_layout import columns as read_columns
from banditloop.rl_core.events.example_message import Example
from banditloop.rl_core.events.parsed_examples import parse_in_python
from banditloop.rl_core.events.tfrecords import framed, read_records, write_records

integers = st.none() | st.integers(-(2**63), 2**63 - 1)
LISTS = {"int64_list": pa.int64(), "float_list": pa.float32(), "bytes_list": pa.string()}


@given(records=st.lists(st.binary(), max_size=5))
def test_records_are_read_as_written(records, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "records"
    assert write_records(path, records) == len(records)
    assert list(read_records(path)) == records
    assert framed(pa.array(records, pa.large_binary())).tobytes() == path.read_bytes()


@given(
    numbers=st.lists(integers, min_size=3, max_size=3),
    texts=st.lists(st.none() | st.text(), min_size=3, max_size=3),
    lists=st.lists(st.lists(st.integers(-5, 300), max_size=4), min_size=3, max_size=3),
    many_sizes=st.sampled_from([0, 100_000]),
)
def test_columns_are_encoded_as_protobuf_reads_them(numbers, texts, lists, many_sizes):
    """Of a slice, too, whose columns begin amidst others."""
    columns = {"number": pa.array(numbers, pa.int64()), "text": pa.array(texts)}
    columns |= {kind: pa.array(lists).cast(pa.list_(value)) for kind, value in LISTS.items()}
    kinds = {"number": "int64_list", "text": "bytes_list"} | {kind: kind for kind in LISTS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binary_columns, "MANY_SIZES", many_sizes)
        messages = encoded({name: column.slice(1) for name, column in columns.items()}, kinds)
        assert_same(read_columns(messages, kinds), parse_in_python(messages, kinds))
    rows = messages.to_pylist()
    for row, number, text, values in zip(rows, numbers[1:], texts[1:], lists[1:], strict=True):
        read = Example.FromString(row).features.feature
        assert read.keys() == columns.keys()
        assert list(read["number"].int64_list.value) == ([] if number is None else [number])
        assert list(read["text"].bytes_list.value) == ([] if text is None else [text.encode()])
        assert list(read["int64_list"].int64_list.value) == list(read["float_list"].float_list.value) == values
        assert list(read["bytes_list"].bytes_list.value) == [str(value).encode() for value in values]


def assert_same(ours, parsed):
    assert ours.keys() == parsed.keys()
    for name, (values, splits) in parsed.items():
        assert ours[name].splits.tolist() == splits.tolist()
        assert ours[name].values.tolist() == values.tolist()


@given(place=st.integers(0, 199), byte=st.integers(0, 255), messages=st.integers(1, 3))
def test_bytes_that_the_encoder_would_not_write_are_never_read_as_if_it_had(place, byte, messages):
    """Whatever byte is changed, columns are read as protobuf reads them, or left to it."""
    columns = {"number": pa.array([3, 300, -1]), "texts": pa.array([["a", "bc"], [], ["", "d"]])}
    columns["list"] = pa.array([[1.0], [], [2.0, 3.0]], pa.list_(pa.float32()))
    kinds = {"number": "int64_list", "texts": "bytes_list", "list": "float_list"}
    written = encoded(columns, kinds)[:messages].to_pylist()
    first = bytearray(written[0])
    first[place % len(first)] = byte
    changed = pa.array([bytes(first), *written[1:]], pa.large_binary())
    try:
        ours = read_columns(changed, kinds)
    except OtherLayout:
        return
    assert_same(ours, parse_in_python(changed, kinds))


def test_long_records_are_encoded():
    text = "x" * 300_000
    [row] = encoded({"text": pa.array([text])}, {"text": "bytes_list"}).to_pylist()
    assert Example.FromString(row).features.feature["text"].bytes_list.value[0] == text.encode()


@pytest.mark.parametrize("position", range(22))
def test_a_changed_or_cut_off_file_is_refused(position, tmp_path):
    path = tmp_path / "records"
    write_records(path, [b"content"])
    content = path.read_bytes()
    path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    with pytest.raises(InvalidInput, match="records: is damaged"):
        list(read_records(path))
    path.write_bytes(content[: position + 1])
    with pytest.raises(InvalidInput, match="records: is damaged"):
        list(read_records(path))
