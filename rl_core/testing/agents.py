"""The conformance suite of agents."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from banditloop.rl_core.agents import (
    AGENTS,
    STATISTICS,
    Agent,
    Statistics,
    mergeable,
    read_arrays,
    write_arrays,
)
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.testing.decisions import DecisionConformance
from banditloop.rl_core.testing.merging import MergeConformance
from banditloop.rl_core.testing.planted import (
    ACTIONS,
    DIM,
    TRUTH,
    assert_same,
    greedy_accuracy,
    linear,
    noise,
    saved_and_loaded,
    trained,
)
from banditloop.rl_core.testing.sections import as_pipeline_parameter, assert_refused


class AgentConformance(DecisionConformance):
    """Checks that every agent must pass. A test file subclasses it, and for a MergeableAgent MergeConformance as well:

        class TestMine(AgentConformance):
            agent = MyAgent(name="my_package.agents:MyAgent")
            bad_hyperparameters = [{"learning_rate": -1.0}]

    The name is that by which a config chooses the agent; it must be importable where the tests run.
    """

    agent: Agent
    bad_hyperparameters: Sequence[dict[str, Any]] = ()
    """Values out of range, each as {key: value}, that the agent must refuse."""

    def test_merging_is_tried_where_statistics_merge(self) -> None:
        assert isinstance(self, MergeConformance) == bool(mergeable(self.agent))

    def test_training_on_the_same_interactions_gives_the_same_statistics(self) -> None:
        first, second = noise(0, 100), noise(1, 50)
        statistics = trained(self.agent, first)
        _assert_equal(statistics, trained(self.agent, first))
        _assert_equal(self.agent.update(statistics, [second]), self.agent.update(statistics, [second]))

    def test_training_on_nothing_changes_nothing(self) -> None:
        for statistics in (self.agent.initial_statistics(DIM, ACTIONS), trained(self.agent, noise(0, 100))):
            for batches in ([], [noise(0, 0)]):
                assert_same(self.agent.update(statistics, batches), statistics)

    def test_it_learns_the_best_actions_in_one_training_or_in_several(self) -> None:
        statistics = self.agent.initial_statistics(DIM, ACTIONS)
        for seed in range(8):
            statistics = self.agent.update(statistics, [linear(seed, 500)])
        in_batches = trained(self.agent, *(linear(seed, 500) for seed in range(8)))
        for learned in (trained(self.agent, linear(0, 4000)), in_batches, statistics):
            assert greedy_accuracy(self.agent, learned) > 0.9

    def test_sample_weights_count(self) -> None:
        """Rewards of 0 and 1 are equally frequent, but those of 1 have three times the weight: their mean is 0.75."""
        random = np.random.default_rng(0)
        observations = random.normal(size=(2000, DIM)).astype(np.float32)
        observations[:, 0] = 1.0  # for models without an intercept
        rewards = random.integers(2, size=2000).astype(float)
        weights = {"rewards": rewards, "sample_weight": 1 + 2 * rewards}
        batch = noise(1, 2000)._replace(observations=observations, **weights)
        expected = saved_and_loaded(self.agent, trained(self.agent, batch)).expected_rewards(observations)
        assert expected.mean() == pytest.approx(0.75, abs=0.03)  # three standard errors

    def test_actions_may_join(self) -> None:
        """What was learned of the others stays, an untried one is expected to earn about as much, and is learned."""
        before = trained(self.agent, linear(0, 1000))
        grown = self.agent.with_actions(before, ACTIONS + 3)
        observations = noise(99, 1000).observations
        expected = saved_and_loaded(self.agent, before).expected_rewards(observations)
        model = saved_and_loaded(self.agent, grown)
        assert model.shape == (DIM, ACTIONS + 3)
        np.testing.assert_allclose(model.expected_rewards(observations)[:, :ACTIONS], expected, rtol=1e-5, atol=1e-5)
        assert model.expected_rewards(observations)[:, ACTIONS:].mean() == pytest.approx(expected.mean(), abs=0.5)
        joined = linear(1, 1000)
        like_first = joined._replace(actions=np.full(1000, ACTIONS), rewards=joined.observations @ TRUTH[:, 0] + 0.5)
        learned = saved_and_loaded(self.agent, self.agent.update(grown, [joined, like_first]))
        expected = learned.expected_rewards(observations)
        assert np.corrcoef(expected[:, ACTIONS], expected[:, 0])[0, 1] > 0.9

    def test_a_saved_model_decides_the_same_wherever_and_whenever_it_is_loaded(self, tmp_path: Path) -> None:
        observations = noise(1, 200).observations
        (tmp_path / "written").mkdir()
        statistics = trained(self.agent, noise(0, 300))
        write_arrays(tmp_path / "written" / STATISTICS, statistics)
        self.agent.save(statistics, tmp_path / "written")
        model = self.agent.load(tmp_path / "written")
        moved = self.agent.load(shutil.copytree(tmp_path / "written", tmp_path / "moved"))
        np.testing.assert_array_equal(model.probabilities(observations), moved.probabilities(observations))
        np.testing.assert_array_equal(model.expected_rewards(observations), moved.expected_rewards(observations))

    def test_training_resumes_from_statistics_on_disk(self, tmp_path: Path) -> None:
        statistics = trained(self.agent, noise(0, 100))
        write_arrays(tmp_path / STATISTICS, statistics)
        resumed = self.agent.update(read_arrays(tmp_path / STATISTICS), [noise(1, 50)])
        _assert_equal(resumed, self.agent.update(statistics, [noise(1, 50)]))

    def test_metrics_say_what_it_learned_from(self) -> None:
        batch = noise(0, 100)
        metrics = self.agent.metrics(trained(self.agent, batch._replace(actions=np.minimum(batch.actions, 2))))
        assert metrics["interactions"] == 100
        assert metrics["arms_seen"] == 3
        assert metrics["mean_reward"] == pytest.approx(batch.rewards.mean())
        assert np.isfinite(list(metrics.values())).all()

    def test_the_exported_saved_model_takes_the_same_actions(self, tmp_path: Path) -> None:
        tf = pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError).tf
        time_step = pytest.importorskip("tf_agents.trajectories.time_step")
        statistics = trained(self.agent, noise(0, 300))
        self.agent.save(statistics, tmp_path)
        self.agent.export_saved_model(statistics, tmp_path)
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
        largest = noise(0, 50)._replace(observations=observations, actions=np.zeros(50, int), rewards=np.full(50, 1e6))
        for first in (noise(0, 100), largest, noise(0, 1)):
            statistics = trained(self.agent, first, largest, noise(1, 100))
            assert all(np.isfinite(array).all() for array in statistics.values())
            for observations in (largest.observations, noise(2, 50).observations):
                expected = saved_and_loaded(self.agent, statistics).expected_rewards(observations)
                assert np.isfinite(expected).all()

    def test_it_resumes_from_its_own_statistics_only(self) -> None:
        assert self.agent.can_resume_from(self.agent.model_dump(mode="json"))
        for name, other in AGENTS.items():
            if name != self.agent.name:
                assert not self.agent.can_resume_from(other(name=name).model_dump(mode="json"))

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


def _assert_equal(left: Statistics, right: Statistics) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])
