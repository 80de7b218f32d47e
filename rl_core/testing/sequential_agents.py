"""The conformance suite of sequential agents."""

import numpy as np
import pytest

from banditloop.rl_core.agents import Model, SequentialAgent, Transitions
from banditloop.rl_core.testing.chain import OBSERVATIONS, STATES, best_chain_actions, chain
from banditloop.rl_core.testing.planted import saved_and_loaded


class SequentialAgentConformance:
    """Checks that every sequential agent must pass."""

    agent: SequentialAgent

    @pytest.mark.parametrize("discount", [0.0, 0.5, 0.8, 1.0])
    def test_it_learns_what_pays_in_the_end(self, discount: float) -> None:
        """What pays at once is the best only where the discount is low, or the end far away."""
        learned = self.learned(chain(0, 1000, discount))
        np.testing.assert_array_equal(learned.greedy_actions(OBSERVATIONS), best_chain_actions(discount))

    def test_an_episode_that_was_cut_off_has_not_ended(self) -> None:
        """Nine of ten were cut off where going on pays: as ends, they would make it worth less than what is taken."""
        learned = self.learned(chain(0, 3000, 0.9, cut_off=0.9))
        np.testing.assert_array_equal(learned.greedy_actions(OBSERVATIONS), best_chain_actions(0.9))

    def learned(self, *batches: Transitions) -> Model:
        """The model of a training, as it is served."""
        statistics = self.agent.update(self.agent.initial_statistics(STATES, 2), batches)
        return saved_and_loaded(self.agent, statistics)
