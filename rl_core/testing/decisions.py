"""The checks of an agent's decisions: probabilities, propensities and candidates."""

from pathlib import Path

import numpy as np
import pytest

from banditloop.rl_core.agents import Agent, Batch, SequentialAgent, Transitions
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.testing.planted import ACTIONS, DIM, noise, noise_episodes, saved_and_loaded, trained
from banditloop.rl_core.testing.policies import make_policy


class DecisionConformance:
    """Checks that every agent must pass; they are a part of AgentConformance and SequentialAgentConformance."""

    agent: Agent

    def noise(self, seed: int, rows: int) -> Batch | Transitions:
        """What the agent learns from, with nothing to learn in it."""
        return noise_episodes(seed, rows) if isinstance(self.agent, SequentialAgent) else noise(seed, rows)

    @pytest.mark.parametrize("rows", [0, 200])
    def test_probabilities_are_distributions_and_greedy_actions_are_actions(self, rows: int) -> None:
        model = saved_and_loaded(self.agent, trained(self.agent, self.noise(0, rows)))
        assert model.shape == (DIM, ACTIONS)
        for count in (1, 2, 50, 600):
            observations = noise(1, count).observations
            probabilities = model.probabilities(observations)
            assert probabilities.shape == model.expected_rewards(observations).shape == (count, ACTIONS)
            assert (probabilities >= 0).all()
            np.testing.assert_allclose(probabilities.sum(axis=1), 1)
            greedy = model.greedy_actions(observations)
            assert greedy.shape == (count,)
            assert set(greedy) <= set(range(ACTIONS))

    def test_probabilities_do_not_depend_on_the_rest_of_the_batch(self) -> None:
        model, observations = saved_and_loaded(self.agent, trained(self.agent, self.noise(0, 300))), noise(1, 100)[0]
        alone = np.concatenate([model.probabilities(observations[row : row + 1]) for row in range(100)])
        np.testing.assert_array_equal(alone, model.probabilities(observations))

    def test_what_is_not_eligible_has_no_probability(self) -> None:
        model, random = saved_and_loaded(self.agent, trained(self.agent, self.noise(0, 300))), np.random.default_rng(1)
        observations, eligible = noise(1, 500).observations, random.random((500, ACTIONS)) < 0.4
        eligible[np.arange(500), random.integers(ACTIONS, size=500)] = True
        probabilities = model.probabilities(observations, eligible)
        assert (probabilities[~eligible] == 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert eligible[np.arange(500), model.greedy_actions(observations, eligible)].all()
        everything = np.ones((500, ACTIONS), bool)
        np.testing.assert_array_equal(model.probabilities(observations, everything), model.probabilities(observations))

    def test_propensities_are_the_frequencies_of_40000_draws(self, tmp_path: Path) -> None:
        """In each of four contexts, within five standard errors."""
        make_policy(tmp_path, dim=DIM, actions=ACTIONS, agent=self.agent)
        policy, draws = SavedPolicy.load(tmp_path), 10_000
        for observation in noise(1, 4).observations:
            observations = np.tile(observation, (draws, 1))
            decisions = policy.decide(observations, np.random.default_rng(0).random(draws))
            probabilities = policy.probabilities(observation[None])[0]
            np.testing.assert_array_equal(decisions.probabilities, np.tile(probabilities, (draws, 1)))
            np.testing.assert_array_equal(decisions.propensities, probabilities[decisions.actions])
            frequencies = np.bincount(decisions.actions, minlength=ACTIONS) / draws
            margins = 5 * np.sqrt(probabilities * (1 - probabilities) / draws)
            assert (np.abs(frequencies - probabilities) <= margins + 1e-12).all()

    def test_it_decides_among_changing_candidates(self, tmp_path: Path) -> None:
        """Its own actions and unknown ones, some of them in each context, in another order."""
        make_policy(tmp_path, dim=DIM, actions=ACTIONS, agent=self.agent)
        policy, random = SavedPolicy.load(tmp_path), np.random.default_rng(1)
        ids = ("3", "new", "0", "other", "4")
        eligible = random.random((200, len(ids))) < 0.5
        eligible[np.arange(200), random.integers(len(ids), size=200)] = True
        observations, candidates = noise(1, 200).observations, Candidates(ids, eligible)
        decisions = policy.decide(observations, random.random(200), candidates)
        assert eligible[np.arange(200), decisions.actions].all()
        assert (decisions.probabilities[eligible] > 0).all()
        assert (decisions.probabilities[~eligible] == 0).all()
        np.testing.assert_allclose(decisions.probabilities.sum(axis=1), 1)
        assert np.isfinite(policy.expected_rewards(observations, candidates)).all()
