"""Reading from BigQuery in several concurrent streams; the emulator alone has one."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from google.cloud import bigquery

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import READ_API, credentials
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.testing.events import TASK
from tests.conftest import decisions, rewards
from tests.ports.conftest import google
from tests.support.read_streams import read_streams

STREAMS, ROWS = 4, 3_000


def test_without_an_emulator_rows_are_read_through_the_storage_read_api(tmp_path, monkeypatch):
    warehouse = connect(google(tmp_path)).warehouse
    monkeypatch.delenv(READ_API)
    assert warehouse._reader.transport.host == "bigquerystorage.googleapis.com:443"


def test_streams_are_read_concurrently_and_resumed_after_an_interruption(tmp_path, monkeypatch):
    config, ids = google(tmp_path, task=TASK.model_dump()), [f"event-{number}" for number in range(ROWS)]
    warehouse = connect(config).warehouse
    warehouse.append("decisions", decisions(ids, mode="simulated"))
    warehouse.append("rewards", rewards(ids[::3], 2.0))
    window = warehouse.window(None)
    with read_streams(STREAMS) as (address, streams):
        monkeypatch.setenv(READ_API, address)
        interactions = pa.Table.from_batches(connect(config).warehouse.interactions(window), interaction_schema(TASK))
    assert len(streams.interrupted) == STREAMS
    assert Counter(interactions["event_id"].to_pylist()) == Counter(ids)
    assert Counter(interactions["reward"].to_pylist()) == {2.0: ROWS / 3, 0.0: 2 * ROWS / 3}


def test_shards_are_streams_of_one_session_and_each_has_its_rows_alone(tmp_path, monkeypatch):
    config, ids = google(tmp_path, task=TASK.model_dump()), [f"event-{number}" for number in range(ROWS)]
    warehouse = connect(config).warehouse
    warehouse.append("decisions", decisions(ids, mode="simulated"))
    window = warehouse.window(None)
    with read_streams(STREAMS) as (address, streams):
        monkeypatch.setenv(READ_API, address)
        shards = connect(config).warehouse.shards(window, None, STREAMS)
        with ThreadPoolExecutor(STREAMS) as pool:  # the stand-in's streams wait for each other
            parts = list(pool.map(lambda shard: [*connect(config).warehouse.interactions(window, None, shard)], shards))
    assert len(streams.interrupted) == STREAMS
    tables = [pa.Table.from_batches(part, interaction_schema(TASK)) for part in parts]
    assert [len(table) for table in tables] == [ROWS / STREAMS] * STREAMS
    assert Counter(pa.concat_tables(tables)["event_id"].to_pylist()) == Counter(ids)


def test_a_table_of_actions_is_read_again_once_it_was_modified(tmp_path):
    config = google(tmp_path)
    platform, dataset = connect(config), f"{config.backend.project}.{config.backend.dataset}"
    platform.warehouse.window(None)  # creates the dataset
    client, name = bigquery.Client(config.backend.project, credentials()), f"{dataset}.articles"
    client.query(f"CREATE TABLE `{name}` AS SELECT 'a' AS article, 1.5 AS price").result()
    assert platform.read_table(name).to_pylist() == [{"article": "a", "price": 1.5}]
    assert connect(config).read_table(name) is not None
    client.query(f"INSERT INTO `{name}` VALUES ('b', 2.5)").result()
    assert sorted(platform.read_table(name)["article"].to_pylist()) == ["a", "b"]
    assert platform.read_table(name) is None
    assert platform._tables._client is platform._tables._client  # none is made at every look
    with pytest.raises(InvalidInput, match="nowhere"):
        platform.read_table(f"{dataset}.nowhere")
