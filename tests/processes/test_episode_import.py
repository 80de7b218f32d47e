"""The import of ReAgent's table into a loop's log, and its export as a file: the same transitions."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.examples import example_files, read_transitions
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.logs.reagent import MAPPING
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.training.export_file import export_file
from tests.support.reagent import ROWS, write

TASK = {
    "actions": ["left", "right"],
    "reward_range": [0, 5],
    "context": {"state_features_1": "number", "state_features_2": "number"},
}
MANY = [row | {"mdp_id": f"{row['mdp_id']}{number}"} for number in range(20) for row in ROWS]


@pytest.fixture
def config(tmp_path):
    values = {"task": TASK, "agent": {"name": "ppo"}, "episodes": {"metrics": ["taps"]}}
    (tmp_path / "loop.json").write_text(json.dumps(values | {"backend": {"root": str(tmp_path / "loop")}}))
    write(tmp_path / "table.parquet", MANY)
    return Config.load(tmp_path / "loop.json")


def run(*words):
    result = CliRunner().invoke(app, list(map(str, words)), prog_name="banditloop")
    assert result.exit_code == 0, result
    return json.loads(result.stdout)


def by_step(rows):
    return sorted(rows, key=lambda row: (row["episode_id"], row["step"]))


def test_reagents_table_is_imported_once_and_has_its_timeline(config, tmp_path):
    words = ("import", tmp_path / "table.parquet", "--format", "reagent", "--source", "may")
    for added in (80, 0):
        found = run(*words, "--json", "-c", tmp_path / "loop.json")
        assert (found["added"], found["duplicate"], found["without_propensity"]) == (added, 80 - added, 20)
    warehouse = connect(config).warehouse
    later = datetime.now(UTC) + timedelta(days=1)
    rows = pa.Table.from_batches(warehouse.transitions(Window(until=later, interactions=0))).to_pylist()
    assert len(rows) == 80
    assert {row["episode_id"] for row in rows} == {f"may-{row['mdp_id']}" for row in MANY}
    assert [row["reward"] for row in by_step(rows)[:2]] == [1.0, 0.2]
    assert [row["metrics"]["taps"] for row in by_step(rows)[:2]] == [1.0, None]
    assert all(row["terminal"] == (row["steps_to_next"] == 0) for row in rows)
    assert {(row["step"], row["steps_to_next"]) for row in rows} == {(0, 1), (1, 0)}, "one step a row, as in ReAgent"


@pytest.mark.parametrize(("mapping", "least", "most"), [((), 1, 1), (("--map", "step=sequence_number"), 4, 10)])
def test_a_row_of_reagents_table_is_one_step_unless_its_numbers_are_mapped(config, tmp_path, mapping, least, most):
    table = tmp_path / "table.parquet"
    run("import", table, "--format", "reagent", "--source", "may", *mapping, "--json", "-c", tmp_path / "loop.json")
    window = Window(until=datetime.now(UTC) + timedelta(days=1), interactions=0)
    rows = by_step(pa.Table.from_batches(connect(config).warehouse.transitions(window)).to_pylist())
    assert {row["steps_to_next"] for row in rows} == {0, least, most}
    words = ("evaluate", table, "--format", "reagent", "--policy", "uniform", "--discount", 0.5, "--json", *mapping)
    found = run(*words)
    assert found["left_out"] == {"in episodes without a propensity": 40}
    assert found["returns"]["reward"]["logged"]["value"] == pytest.approx(1 + 0.2 * 0.5**most)


def test_a_file_is_exported_by_whole_episodes(config, tmp_path):
    folders = tmp_path / "examples", tmp_path / "held_out" / "log"
    last = {
        (row["mdp_id"], max(each["sequence_number"] for each in ROWS if each["mdp_id"] == row["mdp_id"][0])): True
        for row in MANY
    }
    write(tmp_path / "table.parquet", [row | {"done": (row["mdp_id"], row["sequence_number"]) in last} for row in MANY])
    columns = MAPPING | {"terminal": "done"}
    export = export_file(config, tmp_path / "table.parquet", columns, *folders)
    rows = pa.concat_tables(read_transitions(example_files(folders[0]), config.task, ["taps"])).to_pylist()
    held_out = pa.parquet.read_table(folders[1])["mdp_id"].to_pylist()
    assert {name for name in held_out if is_held_out(f"log-{name}", config.gate.holdout_fraction)} == {*held_out}
    assert len(rows) + len(held_out) == 80
    assert {row["episode_id"] for row in rows} == {f"log-{row['mdp_id']}" for row in MANY} - {
        f"log-{n}" for n in held_out
    }
    assert export.metadata["kind"] == "transitions"
    assert export.metrics == {"interactions": len(rows), "repeated": 0, "after_end": 0, "without_episode": 0}
    assert [row["terminal"] for row in by_step(rows)[:4]] == [False, True] * 2
