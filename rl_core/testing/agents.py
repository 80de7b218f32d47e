"""The conformance suite of agents."""

from pathlib import Path

import numpy as np
import pytest

from banditloop.rl_core.agents import ACTION_FEATURES, AGENTS, STATISTICS, mergeable, read_arrays, write_arrays
from banditloop.rl_core.testing.merging import MergeConformance
from banditloop.rl_core.testing.planted import (
    ACTIONS,
    DIM,
    TRUTH,
    greedy_accuracy,
    linear,
    noise,
    saved_and_loaded,
    trained,
)
from banditloop.rl_core.testing.problems import PROBLEMS, problem
from banditloop.rl_core.testing.training import TrainingConformance, assert_equal


class AgentConformance(TrainingConformance):
    """Checks that every agent must pass. A test file subclasses it, and for a MergeableAgent MergeConformance as well:

        class TestMine(AgentConformance):
            agent = MyAgent(name="my_package.agents:MyAgent")
            bad_hyperparameters = [{"learning_rate": -1.0}]

    The name is that by which a config chooses the agent; it must be importable where the tests run.
    """

    uses_contexts: bool = True
    """Whether its decisions depend on contexts; False for baselines, whose decisions must not."""

    def test_merging_is_tried_where_statistics_merge(self) -> None:
        assert isinstance(self, MergeConformance) == bool(mergeable(self.agent))

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

    def test_training_resumes_from_statistics_on_disk(self, tmp_path: Path) -> None:
        statistics = trained(self.agent, noise(0, 100))
        write_arrays(tmp_path / STATISTICS, statistics)
        resumed = self.agent.update(read_arrays(tmp_path / STATISTICS), [noise(1, 50)])
        assert_equal(resumed, self.agent.update(statistics, [noise(1, 50)]))

    def test_actions_may_have_features(self) -> None:
        """Also where some were never tried; what it expects of those that were is learned from their rewards."""
        statistics, random = self.agent.with_actions(trained(self.agent, linear(0, 1000)), ACTIONS + 2), noise(1, 500)
        features = np.random.default_rng(0).normal(size=(ACTIONS + 2, 3))
        model = saved_and_loaded(self.agent, statistics | {ACTION_FEATURES: features})
        probabilities = model.probabilities(random.observations)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        expected = model.expected_rewards(random.observations)
        assert np.isfinite(expected).all()
        accuracy = (expected[:, :ACTIONS].argmax(axis=1) == (random.observations @ TRUTH).argmax(axis=1)).mean()
        assert accuracy > 0.7

    @pytest.mark.parametrize("name", PROBLEMS)
    def test_it_beats_uniform_choice_in_every_environment(self, name: str) -> None:
        """On visits after one training on uniformly logged interactions; baselines do the same on all visits."""
        known = problem(name)
        dim, actions = known.observations.shape[1], known.rewards.shape[1]
        statistics = self.agent.update(self.agent.initial_statistics(dim, actions), [known.logged])
        model = saved_and_loaded(self.agent, statistics)
        if self.uses_contexts:
            assert known.value(model) > 1.2 * max(known.uniform_value(), 0)
        else:
            probabilities = model.probabilities(known.observations)
            np.testing.assert_allclose(probabilities, np.tile(probabilities[0], (len(probabilities), 1)))

    def test_it_resumes_from_its_own_statistics_only(self) -> None:
        assert self.agent.can_resume_from(self.agent.model_dump(mode="json"))
        for name, other in AGENTS.items():
            if name != self.agent.name:
                assert not self.agent.can_resume_from(other(name=name).model_dump(mode="json"))
