"""The conformance suite of sequential agents."""

import numpy as np
import pytest

from banditloop.rl_core.agents import AGENTS, Model, SequentialAgent, Transitions
from banditloop.rl_core.testing.chain import GO, OBSERVATIONS, STATES, TAKE, TAKEN, best_chain_actions, chain
from banditloop.rl_core.testing.planted import ACTIONS, noise, noise_episodes, saved_and_loaded, trained
from banditloop.rl_core.testing.training import TrainingConformance, assert_equal


class SequentialAgentConformance(TrainingConformance):
    """Checks that every agent that learns from logged episodes must pass; subclass it as AgentConformance."""

    agent: SequentialAgent
    learns_values: bool = True
    """Whether it looks for the best actions; False for those that imitate the log."""

    @pytest.mark.parametrize("discount", [0.0, 0.5, 0.8, 1.0])
    def test_it_learns_what_pays_in_the_end(self, discount: float) -> None:
        """What pays at once is the best only where the discount is low, or the end far away."""
        self.assert_best(self.learned(chain(0, 1000, discount)), discount)

    def test_an_episode_that_was_cut_off_has_not_ended(self) -> None:
        """Nine of ten were cut off where going on pays: as ends, they would make it worth less than what is taken."""
        self.assert_best(self.learned(chain(0, 3000, 0.9, cut_off=0.9)), 0.9)

    def test_an_action_that_is_not_eligible_next_does_not_count(self) -> None:
        """Where going on from the second state is logged, but not possible later, the first state is best left."""
        logged = chain(0, 1000, 0.9)
        eligible = np.ones((len(logged.actions), 2), bool)
        eligible[logged.next_observations[:, 1] == 1, GO] = False
        learned = self.learned(logged._replace(next_eligible=eligible))
        if self.learns_values:
            assert learned.greedy_actions(OBSERVATIONS[:1]) == TAKE
            assert learned.expected_rewards(OBSERVATIONS[:1])[0, GO] == pytest.approx(0.9 * TAKEN, abs=0.05)

    def test_values_are_sums_of_discounted_rewards(self) -> None:
        """Those of the best actions, or of the policy that was imitated."""
        expected = self.learned(chain(0, 2000, 0.8)).expected_rewards(OBSERVATIONS)
        np.testing.assert_allclose(expected[:, TAKE], TAKEN, atol=0.05)
        value, values = 0.0, []
        for reward in (1.0, 0.0, 0.0, 0.0, 0.0):  # back from the last state
            values.append(reward + 0.8 * value)
            value = max(values[-1], TAKEN) if self.learns_values else 0.8 * values[-1] + 0.2 * TAKEN
        np.testing.assert_allclose(expected[::-1, GO], values, atol=0.05)

    def test_sample_weights_count(self) -> None:
        """Rewards of 0 and 1 at the end are equally frequent, but those of 1 have three times the weight."""
        ends = noise_episodes(0, 4000)._replace(discounts=np.zeros(4000), is_known=np.ones(4000, bool))
        rewards = np.random.default_rng(1).integers(2, size=4000).astype(float)
        statistics = trained(self.agent, ends._replace(rewards=rewards, sample_weight=1 + 2 * rewards))
        expected = saved_and_loaded(self.agent, statistics).expected_rewards(noise(1, 500).observations)
        assert expected.mean() == pytest.approx(0.75, abs=0.05)

    def test_batches_are_learned_from_together(self) -> None:
        logged = noise_episodes(0, 200)
        parts = logged.take(slice(0, 100)), logged.take(slice(100, None))
        assert_equal(trained(self.agent, *parts), trained(self.agent, logged))

    def test_an_action_that_was_never_taken_has_the_mean_value_of_the_others(self) -> None:
        logged = noise_episodes(0, 300)
        logged = logged._replace(actions=np.minimum(logged.actions, ACTIONS - 2))
        statistics, observations = trained(self.agent, logged), noise(1, 100).observations
        for grown in (statistics, self.agent.with_actions(statistics, ACTIONS + 2)):
            model = saved_and_loaded(self.agent, grown)
            expected = model.expected_rewards(observations)
            others = expected[:, : ACTIONS - 1].mean(axis=1)
            np.testing.assert_allclose(
                expected[:, ACTIONS - 1 :].T, np.tile(others, (model.shape[1] - ACTIONS + 1, 1)), atol=1e-5
            )

    def test_every_training_starts_anew(self) -> None:
        for name, other in AGENTS.items():
            assert not self.agent.can_resume_from(other(name=name).model_dump(mode="json"))
        before = trained(self.agent, noise_episodes(1, 100))
        assert_equal(self.agent.update(before, [noise_episodes(0, 100)]), trained(self.agent, noise_episodes(0, 100)))

    def test_episodes_of_which_nothing_is_known_to_follow_leave_it_finite(self) -> None:
        cut = noise_episodes(0, 20)._replace(is_known=np.zeros(20, bool))
        expected = saved_and_loaded(self.agent, trained(self.agent, cut)).expected_rewards(noise(1, 5).observations)
        assert expected.shape == (5, ACTIONS) and np.isfinite(expected).all()

    def learned(self, *batches: Transitions) -> Model:
        """The model of a training on the chain, as it is served."""
        statistics = self.agent.update(self.agent.initial_statistics(STATES, 2), batches)
        return saved_and_loaded(self.agent, statistics)

    def assert_best(self, model: Model, discount: float) -> None:
        """Assert that it takes the best actions in the chain, or those that were logged most often."""
        best = best_chain_actions(discount) if self.learns_values else np.full(STATES, GO)
        np.testing.assert_array_equal(model.greedy_actions(OBSERVATIONS), best)
