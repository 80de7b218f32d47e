"""The sums that linear agents are trained from."""

import tracemalloc

import numpy as np
import pytest

from banditloop.rl_core.agents import Batch, MergeableAgent, arrays, sums
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.reward_models import Ridge
from banditloop.rl_core.testing.planted import assert_same

SHAPES = [(3, 4, 500), (40, 4, 500), (300, 2, 200), (1, 1, 1), (70_000, 1, 50)]  # actions, dim, interactions


def random_batch(actions: int, dim: int, rows: int, weighted: bool = False) -> Batch:
    random = np.random.default_rng(rows)
    observations = random.normal(size=(rows, dim)).astype(np.float32)
    weights = random.uniform(1, 3, size=rows) if weighted else None
    return Batch(observations, random.integers(actions, size=rows), random.normal(size=rows), weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("actions", "dim", "rows"), SHAPES)
def test_the_sums_are_those_of_the_interactions_one_by_one(actions: int, dim: int, rows: int, weighted: bool) -> None:
    batch = random_batch(actions, dim, rows, weighted)
    expected = LinUCB().initial_statistics(dim, actions)
    weights = np.ones(rows) if batch.sample_weight is None else batch.sample_weight
    for x, action, reward, weight in zip(batch.observations.astype(float), *batch[1:3], weights, strict=True):
        expected["covariances"][action] += weight * np.outer(x, x)
        expected["vectors"][action] += weight * reward * x
        expected["counts"][action] += 1
        expected["rewards"][action] += reward
    assert_same(LinUCB().accumulate(LinUCB().initial_statistics(dim, actions), batch), expected)


@pytest.mark.parametrize("agent", [LinUCB(), LinearThompson(half_life="never"), LinearThompson()], ids=str)
def test_the_statistics_do_not_depend_on_batches_blocks_and_order(
    agent: MergeableAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, initial = random_batch(30, 4, 2000, weighted=True), agent.initial_statistics(4, 30)
    whole = agent.update(initial, [batch])
    order = np.random.default_rng(0).permutation(2000)
    parts = [batch.take(order[start : start + 300]) for start in range(0, 2000, 300)]
    assert_same(agent.update(initial, parts), whole)
    monkeypatch.setattr(sums, "MOST_NUMBERS", 500)  # 100 rows
    assert_same(agent.update(initial, [batch.take(order)]), whole)


@pytest.mark.parametrize("model", [LinUCB(), LinearThompson(), Ridge(), Ridge(cb_type="dr")], ids=str)
def test_an_update_leaves_the_statistics_that_it_was_given(model: MergeableAgent | Ridge) -> None:
    batch = random_batch(3, 4, 100)._replace(propensities=np.full(100, 0.5))
    given = model.update(model.initial_statistics(4, 3), [batch])
    before = {name: array.copy() for name, array in given.items()}
    model.update(given, [batch])
    for name, array in before.items():
        np.testing.assert_array_equal(given[name], array)


@pytest.mark.parametrize("agent", [LinUCB(), LinearThompson(half_life="never"), LinearThompson()], ids=str)
def test_training_and_solving_take_two_and_a_half_times_the_statistics(
    agent: MergeableAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "BLOCK_NUMBERS", 1 << 14)
    batch = random_batch(50, 20, 2000)
    tracemalloc.start()
    statistics = agent.initial_statistics(20, 5000)
    size = sum(array.nbytes for array in statistics.values())
    for _ in range(2):
        statistics = agent.resumed(statistics)
        statistics = agent.update(statistics, [batch])
    assert agent.model(statistics).shape == (20, 5000)
    assert np.isfinite(list(agent.metrics(statistics).values())).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 2.5 * size
