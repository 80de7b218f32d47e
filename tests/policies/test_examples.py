"""Interactions survive a round trip through TFRecord files."""

from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banditloop.rl_core.events import examples
from banditloop.rl_core.events.schema import INTERACTION

float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
interaction = st.fixed_dictionaries(
    {
        "event_id": st.text(),
        "timestamp": st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
        "policy_version": st.text(),
        "observation": st.lists(float32, max_size=5),
        "action": st.integers(0, 2**31 - 1),
        "propensity": st.floats(0, 1, width=32),
        "probabilities": st.lists(st.floats(0, 1, width=32), max_size=5),
        "mode": st.text(),
        "pass_probability": st.just(0.5),
        "reward": float32,
    }
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(interaction, max_size=7), cut=st.integers(0, 7))
def test_examples_are_read_as_written(rows, cut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    table = pa.Table.from_pylist(rows, INTERACTION)
    batches = [*table.slice(0, cut).to_batches(), *table.slice(cut).to_batches()]
    assert examples.write_examples(batches, folder) == len(rows)
    read = list(examples.read_examples(examples.example_files(folder))) if rows else [INTERACTION.empty_table()]
    assert pa.concat_tables(read) == table


def test_many_rows_are_written_to_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "ROWS_PER_FILE", 10)
    monkeypatch.setattr(examples, "ROWS_PER_BATCH", 4)
    row = {
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
        "policy_version": "v",
        "observation": [1.0],
        "action": 0,
        "propensity": 0.5,
        "probabilities": [0.5, 0.5],
        "mode": "online",
        "pass_probability": 1.0,
        "reward": 1.0,
    }
    for rows in (9, 10, 11, 20, 25):
        folder = tmp_path / str(rows)
        table = pa.Table.from_pylist([row | {"event_id": str(i)} for i in range(rows)], INTERACTION)
        examples.write_examples(table.to_batches(max_chunksize=7), folder)
        assert len(list(folder.glob("*.tfrecord"))) == -(-rows // 10)
        assert pa.concat_tables(examples.read_examples(examples.example_files(folder))) == table
