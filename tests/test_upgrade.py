"""A warehouse that an older version wrote: it is read, added to and compacted as if it had been of this one."""

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from rl_core.backends import connect
from rl_core.schema import INTERACTION, LATER_FIELDS, LOGGED_AT, SCHEMAS
from tests.conftest import START, decisions, make_config, rewards


@pytest.fixture
def platform(tmp_path):
    """A root with one decision and its reward, as version 1 of the schema left them."""
    config = make_config(tmp_path)
    for name, events in (("decisions", decisions(["old"], mode="simulated")), ("rewards", rewards(["old"], 4.0))):
        logged = events.append_column(LOGGED_AT, pa.array([START], LOGGED_AT.type))
        write_deltalake(
            tmp_path / "loop" / "warehouse" / name,
            logged.drop_columns([f for f in LATER_FIELDS if f in logged.column_names]),
        )
    return connect(config)


def read(platform):
    window = platform.warehouse.window(None)
    rows = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION).to_pylist()
    return {row["event_id"]: (row["reward"], row["pass_probability"]) for row in rows}


def test_it_is_read_as_what_it_was(platform):
    assert read(platform) == {"old": (4.0, 1.0)}
    counts = platform.warehouse.counts()
    assert (counts.received, counts.duplicate) == ({"decisions": 1, "rewards": 1}, {"decisions": 0, "rewards": 0})


def test_it_is_added_to_and_compacted(platform, tmp_path):
    place = SCHEMAS["decisions"].get_field_index("pass_probability")
    for number in range(60):
        new = decisions([f"{number}"], mode="simulated")
        sampled = new.set_column(place, SCHEMAS["decisions"].field(place), [[0.5]])
        assert platform.warehouse.append("decisions", sampled) == 1
    assert platform.warehouse.append("decisions", decisions(["old"], at=START)) in (0, 1)
    assert len(DeltaTable(tmp_path / "loop" / "warehouse" / "decisions").file_uris()) < 60
    found = read(platform)
    assert found.pop("old") == (4.0, 1.0)
    assert found == {f"{number}": (0.0, 0.5) for number in range(60)}
