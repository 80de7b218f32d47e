"""TFRecord files are read as written; damage is told. That TensorFlow reads them, too, test_examples.py shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.tfrecords import read_records, write_records


@given(records=st.lists(st.binary(), max_size=5))
def test_records_are_read_as_written(records, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "records"
    assert write_records(path, records) == len(records)
    assert list(read_records(path)) == records


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
