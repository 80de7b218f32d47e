"""Reading from BigQuery in several streams at a time, of which the emulator has but one."""

from collections import Counter

import pyarrow as pa

from rl_core.backends import connect
from rl_core.backends.google.clients import READ_API
from rl_core.schema import INTERACTION
from tests.conftest import decisions, rewards
from tests.ports.conftest import google
from tests.read_streams import read_streams

MANY, ROWS = 4, 3_000


def test_rows_are_asked_of_the_storage_read_api_where_there_is_no_emulator_too(tmp_path, monkeypatch):
    warehouse = connect(google(tmp_path)).warehouse
    monkeypatch.delenv(READ_API)
    assert warehouse._reader.transport.host == "bigquerystorage.googleapis.com:443"


def test_streams_are_read_side_by_side_and_taken_up_where_they_broke_off(tmp_path, monkeypatch):
    config, ids = google(tmp_path), [f"event-{number}" for number in range(ROWS)]
    warehouse = connect(config).warehouse
    warehouse.append("decisions", decisions(ids, mode="simulated"))
    warehouse.append("rewards", rewards(ids[::3], 2.0))
    window = warehouse.window(None)
    with read_streams(MANY) as (address, streams):
        monkeypatch.setenv(READ_API, address)
        found = pa.Table.from_batches(connect(config).warehouse.interactions(window), INTERACTION)
    assert len(streams.broken) == MANY
    assert Counter(found["event_id"].to_pylist()) == Counter(ids)
    assert Counter(found["reward"].to_pylist()) == {2.0: ROWS / 3, 0.0: 2 * ROWS / 3}
