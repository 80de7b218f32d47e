"""The checks of agents whose statistics merge."""

import itertools
from functools import reduce

import numpy as np
import pytest

from banditloop.rl_core.agents import MergeableAgent
from banditloop.rl_core.testing.planted import ACTIONS, DIM, assert_same, noise, saved_and_loaded, trained


class MergeConformance:
    """Checks that every MergeableAgent must pass beside those of AgentConformance."""

    agent: MergeableAgent

    @pytest.mark.parametrize("seed", range(5))
    def test_resuming_equals_training_on_everything_in_any_order(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        assert_resuming_equals_retraining(self.agent, seed, int(random.integers(1, 60)), random.random())

    def test_statistics_of_shards_merge_in_any_order(self) -> None:
        agent, shards = self.agent, [noise(seed, 30) for seed in range(4)]
        for order in itertools.permutations([trained(agent, shard) for shard in shards]):
            total = agent.initial_statistics(DIM, ACTIONS)
            for statistics in order:
                total = agent.merge(total, statistics)
            assert_same(total, trained(agent, *shards))
        first, second, *others = (trained(agent, shard) for shard in shards)
        assert_same(agent.merge(agent.merge(first, second), agent.merge(*others)), trained(agent, *shards))

    def test_initial_statistics_have_arrays_of_their_own(self) -> None:
        """They are added to in place."""
        arrays = [array for array in self.agent.initial_statistics(DIM, ACTIONS).values() if array.size]
        assert not any(np.shares_memory(*pair) for pair in itertools.combinations(arrays, 2))

    def test_shards_of_a_training_that_resumes_merge(self) -> None:
        agent, (first, *shards) = self.agent, [noise(seed, 30) for seed in range(4)]
        before = trained(agent, first)
        added = [agent.add(agent.initial_statistics(DIM, ACTIONS), [shard], before) for shard in shards]
        assert_same(reduce(agent.merge, added, before), agent.update(before, shards))

    @pytest.mark.parametrize("seed", range(5))
    def test_an_interaction_of_weight_n_counts_as_n_interactions(self, seed: int) -> None:
        assert_weights_equal_repetition(self.agent, seed, 40)


def assert_resuming_equals_retraining(agent: MergeableAgent, seed: int, rows: int, fraction: float) -> None:
    """Assert that training on a fraction of the rows and then on the rest equals training on all, in any order."""
    batch, cut = noise(seed, rows), int(fraction * rows)
    order = np.random.default_rng(seed).permutation(rows)
    whole = trained(agent, batch)
    first, second = batch.take(slice(cut)), batch.take(slice(cut, None))
    assert_same(trained(agent, first, second), whole)
    assert_same(trained(agent, second, first), whole)
    assert_same(trained(agent, batch.take(order)), whole)


def assert_weights_equal_repetition(agent: MergeableAgent, seed: int, rows: int) -> None:
    """Assert that interactions of integer weights give the same predictions as interactions that are repeated."""
    batch = noise(seed, rows)
    times = np.random.default_rng(seed).integers(1, 5, size=rows)
    weighted = trained(agent, batch._replace(sample_weight=times.astype(float)))
    repeated = trained(agent, batch.take(np.repeat(np.arange(rows), times)))
    left, right = (saved_and_loaded(agent, statistics) for statistics in (weighted, repeated))
    np.testing.assert_allclose(
        left.expected_rewards(batch.observations), right.expected_rewards(batch.observations), rtol=1e-6, atol=1e-9
    )
