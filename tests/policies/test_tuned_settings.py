"""Tuned settings in the loop's storage: the next training uses them, and says so in the manifest."""

from datetime import UTC, datetime

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.manifest import read_manifest
from banditloop.rl_core.policies.tuned import Tuned
from banditloop.rl_core.promotion.steps import export_step, simulate_step, train_step
from banditloop.rl_core.training.tuned import TUNED, tuned_base
from tests.conftest import make_config

TUNED_AGENT = {"name": "linucb", "alpha": 0.25, "l2": 2.0}


@pytest.fixture
def loop(tmp_path):
    """A config with a log, and tuned settings for it."""
    config = make_config(tmp_path, environment={"name": "linear"})
    platform = connect(config)
    simulate_step(config, platform, 200, seed=0)
    base, now = tuned_base(config), datetime.now(UTC)
    platform.endpoint.set_tuned(Tuned(base=base, agent=TUNED_AGENT, policy={"exploration": 0.02}, at=now))
    return config


def trained(config, folder, while_training=lambda: None):
    """The manifest of a training as a pipeline runs it, and the metadata of its examples."""
    platform, examples = connect(config), folder / "examples"
    metadata = export_step(config, platform, None, examples, folder / "held_out", {}, "", "").metadata
    while_training()
    train_step(config, platform, examples, folder / "policy", metadata, run_id="run")
    return read_manifest(folder / "policy"), metadata


def test_the_next_training_uses_tuned_settings(loop, tmp_path):
    manifest, metadata = trained(loop, tmp_path)
    assert metadata[TUNED]["agent"] == manifest.agent == TUNED_AGENT
    assert manifest.exploration == 0.02


def test_a_training_uses_the_settings_that_its_examples_were_exported_for(loop, tmp_path):
    """A tuning that ends meanwhile may have chosen another agent, which cannot resume from the same parent."""
    other = Tuned(base=tuned_base(loop), agent={"name": "neural_epsilon_greedy"}, at=datetime.now(UTC))
    manifest, _ = trained(loop, tmp_path, lambda: connect(loop).endpoint.set_tuned(other))
    assert manifest.agent == TUNED_AGENT


@pytest.mark.parametrize(
    "changed", [{"agent": {"name": "linucb", "alpha": 3.0}}, {"policy": {"exploration": 0.3, "saved_model": False}}]
)
def test_settings_tuned_for_another_config_are_not_used(loop, tmp_path, changed, caplog):
    config = Config.parse(loop.to_dict() | changed)
    manifest, metadata = trained(config, tmp_path)
    assert TUNED not in metadata
    assert manifest.agent == config.agent.model_dump(mode="json")
    assert manifest.exploration == config.policy.exploration
    assert "are not used: agent, policy, on_policy or task have changed since" in caplog.text
