"""The checks of what every agent trains, saves and loads, whether it learns from interactions or from transitions."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from banditloop.rl_core.agents import AGENTS, STATISTICS, Agent, Statistics, write_arrays
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.testing.decisions import DecisionConformance
from banditloop.rl_core.testing.planted import ACTIONS, DIM, assert_same, noise, saved_and_loaded, trained
from banditloop.rl_core.testing.sections import as_pipeline_parameter, assert_refused


class TrainingConformance(DecisionConformance):
    """Checks that every agent must pass; they are a part of AgentConformance and SequentialAgentConformance."""

    bad_hyperparameters: Sequence[dict[str, Any]] = ()
    """Values out of range, each as {key: value}, that the agent must refuse."""

    def test_training_on_the_same_interactions_gives_the_same_statistics(self) -> None:
        first, second = self.noise(0, 100), self.noise(1, 50)
        statistics = trained(self.agent, first)
        assert_equal(statistics, trained(self.agent, first))
        again = (self.agent.update(statistics, [second]) for _ in range(2))  # type: ignore[list-item]
        assert_equal(*again)

    def test_training_on_nothing_changes_nothing(self) -> None:
        for statistics in (self.agent.initial_statistics(DIM, ACTIONS), trained(self.agent, self.noise(0, 100))):
            for batches in ([], [self.noise(0, 0)]):
                assert_same(self.agent.update(statistics, batches), statistics)  # type: ignore[arg-type]

    def test_a_saved_model_decides_the_same_wherever_and_whenever_it_is_loaded(self, tmp_path: Path) -> None:
        observations = noise(1, 200).observations
        (tmp_path / "written").mkdir()
        statistics = trained(self.agent, self.noise(0, 300))
        write_arrays(tmp_path / "written" / STATISTICS, statistics)
        self.agent.save(statistics, tmp_path / "written")
        model = self.agent.load(tmp_path / "written")
        moved = self.agent.load(shutil.copytree(tmp_path / "written", tmp_path / "moved"))
        np.testing.assert_array_equal(model.probabilities(observations), moved.probabilities(observations))
        np.testing.assert_array_equal(model.expected_rewards(observations), moved.expected_rewards(observations))

    def test_a_policy_saved_after_its_parent_is_the_one_saved_alone(self, tmp_path: Path) -> None:
        """With new interactions of one action, and with a new action besides."""
        before = trained(self.agent, self.noise(0, 100))
        batch, observations = self.noise(1, 20), noise(2, 200).observations
        resumed = self.agent.resumed(before)
        for actions in (ACTIONS, ACTIONS + 1):
            statistics = self.agent.with_actions(resumed, actions) if actions > ACTIONS else resumed
            statistics = self.agent.update(statistics, [batch._replace(actions=np.zeros(20, int))])  # type: ignore[list-item]
            folders = [tmp_path / f"{name}-{actions}" for name in ("parent", "next", "alone")]
            for folder in folders:
                folder.mkdir()
            parent, after, alone = folders
            write_arrays(parent / STATISTICS, before)
            self.agent.save(before, parent)
            self.agent.save(statistics, alone)
            self.agent.save_next(statistics, after, parent)
            left, right = self.agent.load(after), self.agent.load(alone)
            np.testing.assert_array_equal(left.probabilities(observations), right.probabilities(observations))
            np.testing.assert_array_equal(left.expected_rewards(observations), right.expected_rewards(observations))

    def test_metrics_say_what_it_learned_from(self) -> None:
        batch = self.noise(0, 100)
        metrics = self.agent.metrics(trained(self.agent, batch._replace(actions=np.minimum(batch.actions, 2))))
        assert metrics["interactions"] == 100
        assert metrics["arms_seen"] == 3
        assert metrics["mean_reward"] == pytest.approx(batch.rewards.mean())
        assert np.isfinite(list(metrics.values())).all()

    def test_the_exported_saved_model_takes_the_same_actions(self, tmp_path: Path) -> None:
        tf = pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError).tf
        time_step = pytest.importorskip("tf_agents.trajectories.time_step")
        statistics = trained(self.agent, self.noise(0, 300))
        self.agent.save(statistics, tmp_path)
        self.agent.export_saved_model(tmp_path, DIM, ACTIONS)
        observations = noise(1, 500).observations
        policy = tf.saved_model.load(str(tmp_path))
        exported = policy.action(time_step.restart(tf.constant(observations), 500))
        probabilities = self.agent.load(tmp_path).probabilities(observations)
        np.testing.assert_array_equal(probabilities.argmax(axis=1), exported.action.numpy())
        if isinstance(exported.info, dict) and "probabilities" in exported.info:
            # Both may integrate, each on points of its own.
            np.testing.assert_allclose(exported.info["probabilities"].numpy(), probabilities, rtol=0, atol=0.005)

    def test_the_largest_observations_and_rewards_leave_it_finite(self) -> None:
        observations = np.full((50, DIM), 1e6, np.float32)
        extreme = {"observations": observations, "actions": np.zeros(50, int), "rewards": np.full(50, 1e6)}
        largest = self.noise(0, 50)._replace(**extreme)
        for first in (self.noise(0, 100), largest, self.noise(0, 1)):
            statistics = trained(self.agent, first, largest, self.noise(1, 100))
            assert all(np.isfinite(array).all() for array in statistics.values())
            for observations in (largest.observations, noise(2, 50).observations):
                expected = saved_and_loaded(self.agent, statistics).expected_rewards(observations)
                assert np.isfinite(expected).all()

    def test_the_agent_is_the_same_after_travelling_as_a_pipeline_parameter(self) -> None:
        """Looked up by its name, as every component does in a process of its own."""
        assert registered(AGENTS, Agent, as_pipeline_parameter(self.agent), "agent") == self.agent

    def test_bad_hyperparameters_are_refused_in_one_line(self) -> None:
        assert_refused(self.agent, "no_such_key", 1, "agent")
        for key in type(self.agent).model_fields:
            assert_refused(self.agent, key, [{"of": "another type"}], "agent")
        for values in self.bad_hyperparameters:
            for key, value in values.items():
                assert_refused(self.agent, key, value, "agent")


def assert_equal(left: Statistics, right: Statistics) -> None:
    """Assert that both are the same statistics, to the last bit."""
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])
