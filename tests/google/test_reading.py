"""Reading from BigQuery in several concurrent streams; the emulator alone has one."""

from collections import Counter

import pyarrow as pa

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import READ_API
from banditloop.rl_core.events.schema import INTERACTION
from tests.conftest import decisions, rewards
from tests.ports.conftest import google
from tests.support.read_streams import read_streams

STREAMS, ROWS = 4, 3_000


def test_without_an_emulator_rows_are_read_through_the_storage_read_api(tmp_path, monkeypatch):
    warehouse = connect(google(tmp_path)).warehouse
    monkeypatch.delenv(READ_API)
    assert warehouse._reader.transport.host == "bigquerystorage.googleapis.com:443"


def test_streams_are_read_concurrently_and_resumed_after_an_interruption(tmp_path, monkeypatch):
    config, ids = google(tmp_path), [f"event-{number}" for number in range(ROWS)]
    warehouse = connect(config).warehouse
    warehouse.append("decisions", decisions(ids, mode="simulated"))
    warehouse.append("rewards", rewards(ids[::3], 2.0))
    window = warehouse.window(None)
    with read_streams(STREAMS) as (address, streams):
        monkeypatch.setenv(READ_API, address)
        interactions = pa.Table.from_batches(connect(config).warehouse.interactions(window), INTERACTION)
    assert len(streams.interrupted) == STREAMS
    assert Counter(interactions["event_id"].to_pylist()) == Counter(ids)
    assert Counter(interactions["reward"].to_pylist()) == {2.0: ROWS / 3, 0.0: 2 * ROWS / 3}
