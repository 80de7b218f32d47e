"""A planted problem for agents: rewards that are linear in the observation, with random actions and known best ones."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from banditloop.rl_core.agents import Agent, Batch, Model, Statistics, Transitions

DIM, ACTIONS = 6, 5
TRUTH = np.random.default_rng(7).normal(size=(DIM, ACTIONS))  # expected rewards are observations @ TRUTH


def noise(seed: int, rows: int) -> Batch:
    """Interactions with random actions and random rewards: there is nothing to learn."""
    random = np.random.default_rng(seed)
    observations = random.normal(size=(rows, DIM)).astype(np.float32)
    actions, rewards = random.integers(ACTIONS, size=rows), random.normal(size=rows)
    ids = random.integers(1 << 64, size=rows, dtype=np.uint64)
    return Batch(observations, actions, rewards, propensities=np.full(rows, 1 / ACTIONS), ids=ids)


def noise_episodes(seed: int, rows: int, dim: int = DIM, actions: int = ACTIONS) -> Transitions:
    """Episodes of ten steps with random observations, actions and rewards; every other one was cut off."""
    random = np.random.default_rng(seed)
    observations = random.normal(size=(rows + 1, dim)).astype(np.float32)
    steps, episodes = np.arange(rows) % 10, np.arange(rows) // 10
    is_last = np.append(steps[1:] == 0, [True])[:rows]
    is_cut = is_last & (episodes % 2 == 1)
    return Transitions(
        observations[:-1],
        random.integers(actions, size=rows),
        random.normal(size=rows),
        observations[1:],
        np.where(is_last, 0.0, 0.9),
        ~is_cut,
        episodes,
        steps,
        np.full(rows, 1 / actions),
    )


def linear(seed: int, rows: int) -> Batch:
    """Interactions with random actions and linear rewards, with Gaussian noise of standard deviation 0.1."""
    batch = noise(seed, rows)
    expected = (batch.observations @ TRUTH)[np.arange(rows), batch.actions]
    return batch._replace(rewards=expected + 0.1 * batch.rewards)


def trained(agent: Agent, *batches: Batch | Transitions) -> Statistics:
    """The statistics of one training on the batches: transitions of a sequential agent, interactions of others."""
    return agent.update(agent.initial_statistics(DIM, ACTIONS), batches)  # type: ignore[arg-type]


def saved_and_loaded(agent: Agent, statistics: Statistics) -> Model:
    """The model of the statistics, as it is served: written to a folder and read from it."""
    with tempfile.TemporaryDirectory() as folder:
        agent.save(statistics, Path(folder))
        return agent.load(Path(folder))


def greedy_accuracy(
    agent: Agent, statistics: Statistics, transform: Callable[[np.ndarray], np.ndarray] = lambda x: x
) -> float:
    """The fraction of greedy actions that are the best ones, where the model sees transformed observations."""
    observations = noise(99, 1000).observations
    greedy = saved_and_loaded(agent, statistics).greedy_actions(transform(observations))
    return float((greedy == (observations @ TRUTH).argmax(axis=1)).mean())


def assert_same(left: Statistics, right: Statistics) -> None:
    """Assert that both are the same statistics, up to rounding."""
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-9, atol=1e-9)
