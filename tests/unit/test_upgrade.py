"""A warehouse of schema version 1 is read, appended to and compacted like one of the current version."""

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.schema import FIELD_DEFAULTS, INTERACTION, LOGGED_AT, SCHEMAS
from tests.conftest import START, decisions, make_config, rewards


@pytest.fixture
def platform(tmp_path):
    """A root with one decision and its reward, as written with version 1 of the schema."""
    config = make_config(tmp_path)
    for name, events in (("decisions", decisions(["old"], mode="simulated")), ("rewards", rewards(["old"], 4.0))):
        logged = events.append_column(LOGGED_AT, pa.array([START], LOGGED_AT.type))
        write_deltalake(
            tmp_path / "loop" / "warehouse" / name,
            logged.drop_columns([f for f in FIELD_DEFAULTS if f in logged.column_names]),
        )
    return connect(config)


def read(platform):
    window = platform.warehouse.window(None)
    rows = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION).to_pylist()
    return {row["event_id"]: (row["reward"], row["pass_probability"]) for row in rows}


def test_rows_of_version_1_are_read_with_defaults(platform):
    assert read(platform) == {"old": (4.0, 1.0)}
    counts = platform.warehouse.event_counts()
    assert (counts.received, counts.duplicate) == ({"decisions": 1, "rewards": 1}, {"decisions": 0, "rewards": 0})


def test_new_rows_are_appended_and_compacted(platform, tmp_path):
    column = SCHEMAS["decisions"].get_field_index("pass_probability")
    for number in range(60):
        new = decisions([f"{number}"], mode="simulated")
        sampled = new.set_column(column, SCHEMAS["decisions"].field(column), [[0.5]])
        assert platform.warehouse.append("decisions", sampled) == 1
    assert platform.warehouse.append("decisions", decisions(["old"], at=START)) in (0, 1)
    assert len(DeltaTable(tmp_path / "loop" / "warehouse" / "decisions").file_uris()) < 60
    interactions = read(platform)
    assert interactions.pop("old") == (4.0, 1.0)
    assert interactions == {f"{number}": (0.0, 0.5) for number in range(60)}
