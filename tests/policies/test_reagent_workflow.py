"""ReAgent's table of CartPole episodes, imported into a loop: trained on, evaluated and deployed."""

import json

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.cartpole import FEATURES, CartPole
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.promotion.steps import evaluate_step, export_step, train_step
from banditloop.rl_core.promotion.transitions import deploy, ensure_champion
from banditloop.rl_core.rollouts import rollouts
from tests.support.reagent import write

EPISODES, UNKNOWN = 60, 100  # rows whose propensity is not known
FEATURE_NAMES = [f"state_features_{number}" for number in range(len(FEATURES))]
CONFIG = {
    "task": {"actions": ["0", "1"], "reward_range": [0, 1], "context": dict.fromkeys(FEATURE_NAMES, "number")},
    "agent": {"name": "dqn", "hidden_layers": 1, "hidden_units": 16, "gradient_steps": 100},
    "episodes": {"metrics": ["upright"]},
    "reward": {"attribution_window_seconds": 0.01},
    "gate": {"holdout_fraction": 0.3},
    "policy": {"saved_model": False},
}


@pytest.fixture
def config(tmp_path):
    """The config of a loop, and beside it the table of random episodes."""
    path = tmp_path / "loop.json"
    path.write_text(json.dumps(CONFIG | {"backend": {"root": str(tmp_path / "loop"), "endpoint": "cartpole"}}))
    played = rollouts(None, CartPole(), 0, EPISODES).to_pylist()
    rows = [
        {
            "mdp_id": row["episode_id"],
            "sequence_number": row["step"],
            "state_features": {str(place): row["context"][name] for place, name in enumerate(FEATURES)},
            "action": row["action"],
            "reward": row["reward"],
            "possible_actions": ["0", "1"],
            "action_probability": None if number < UNKNOWN else row["propensity"],
            "metrics": {"upright": float(abs(row["context"]["angle"]) < 0.1)},
            "ds": "2026-01-01",
        }
        for number, row in enumerate(played)
    ]
    write(tmp_path / "table.parquet", [rows[place] for place in np.random.default_rng(0).permutation(len(rows))])
    return Config.load(path)


def episode_ids(platform):
    batches = platform.warehouse.transitions(platform.warehouse.window(None))
    return set(pa.Table.from_batches(batches)["episode_id"].to_pylist())


def test_reagents_table_is_trained_on_evaluated_and_deployed(config, tmp_path):
    words = ["import", tmp_path / "table.parquet", "--format", "reagent", "--source", "random", "--json"]
    result = CliRunner().invoke(app, [*map(str, words), "-c", str(tmp_path / "loop.json")])
    assert json.loads(result.stdout)["without_propensity"] == UNKNOWN
    platform, folders = connect(config), [tmp_path / name for name in ("examples", "held_out", "policy")]
    ensure_champion(config, platform.endpoint)
    export = export_step(config, platform, None, *folders[:2], {}, "", "")
    counts = platform.warehouse.episode_counts(platform.warehouse.window(None).until)
    assert (counts.episodes, sum(counts[2:])) == (EPISODES, 0)
    assert 0 < export.metrics["interactions"] < counts.transitions
    trained = train_step(config, platform, folders[0], folders[2], export.metadata, "run")
    assert trained.metadata["interactions"] == export.metrics["interactions"]
    verdict, summary = evaluate_step(config, platform, folders[2], None, {}, None, 0.0, "run")
    assert verdict.decision == "canary"  # few episodes
    held_out = sum(is_held_out(name, config.gate.holdout_fraction) for name in episode_ids(platform))
    assert summary["episodes"] + sum(summary["left_out"].values()) == held_out
    assert set(summary["returns"]) == {"reward", "upright"}
    version = deploy(config, platform.endpoint, folders[2], "canary", False)
    assert version == trained.metadata["version"]
    assert platform.endpoint.release().traffic
