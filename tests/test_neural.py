"""The neural agent: it learns what no linear one can, forgets nothing, and remembers a fair sample."""

import itertools

import numpy as np
import pytest

from rl_core.agents import Batch, LinUCB, NeuralEpsilonGreedy
from tests.test_agents import model_of

ROWS = 4000


def opposites(seed: int, actions: list[int], rows: int = ROWS) -> Batch:
    """Even actions are right where two features have one sign, odd ones where they do not: no line parts the two."""
    random = np.random.default_rng(seed)
    observations = random.normal(size=(rows, 2)).astype(np.float32)
    chosen = random.choice(actions, size=rows)
    return Batch(observations, chosen, (same_sign(observations) == (chosen % 2 == 0)).astype(float))


def same_sign(observations: np.ndarray) -> np.ndarray:
    return observations[:, 0] * observations[:, 1] > 0


@pytest.mark.parametrize(("agent", "least", "most"), [(NeuralEpsilonGreedy(), 0.95, 1), (LinUCB(alpha=0), 0.4, 0.6)])
def test_it_learns_what_no_linear_agent_can(agent, least, most):
    model = model_of(agent, agent.learn(agent.start(2, 2), [opposites(0, [0, 1])]))
    asked = opposites(1, [0]).observations
    assert least <= ((model.greedy(asked) == 0) == same_sign(asked)).mean() <= most


def error(agent: NeuralEpsilonGreedy, statistics, arms: list[int]) -> float:
    """Root mean squared error of its expectations of some arms, of which half are worth 0 and half 1."""
    asked = opposites(9, [0]).observations
    truth = same_sign(asked)[:, None] == (np.array(arms) % 2 == 0)
    return float(np.sqrt(((model_of(agent, statistics).expected(asked)[:, arms] - truth) ** 2).mean()))


def test_it_does_not_forget_what_it_does_no_longer_see():
    """Ten trainings on two arms after one on all four."""
    after = {}
    for memory in (0, 10_000):
        agent = NeuralEpsilonGreedy(memory=memory)
        statistics = agent.learn(agent.start(2, 4), [opposites(0, [0, 1, 2, 3])])
        before = error(agent, statistics, [2, 3])
        for seed in range(1, 11):
            statistics = agent.learn(statistics, [opposites(seed, [0, 1], 2000)])
        after[memory] = error(agent, statistics, [2, 3]) / before
    assert after[10_000] < 1 < 1.5 < after[0]


def test_what_it_remembers_is_a_uniform_sample_of_all_that_came():
    """Of 3,000 interactions in batches of several sizes 300: as many of every third, up to four standard errors."""
    agent, rows = NeuralEpsilonGreedy(memory=300, units=2, layers=1, epochs=1, batch=1000), np.arange(3000.0)
    found = []
    for seed in range(20):
        agent, cuts = agent.model_copy(update={"seed": seed}), [0, 5, 305, 1305, 1306, 3000]
        parts = [rows[start:end] for start, end in itertools.pairwise(cuts)]
        batches = [Batch(part[:, None].astype(np.float32), np.zeros(len(part), int), part, part) for part in parts]
        statistics = agent.learn(agent.start(1, 2), batches)
        remembered = statistics["memory_rewards"]
        assert len(set(remembered)) == len(remembered) == 300
        np.testing.assert_array_equal(statistics["memory_weights"], remembered)
        found.append(np.bincount((remembered // 1000).astype(int), minlength=3))
    thirds = np.sum(found, axis=0)
    assert np.abs(thirds - 2000).max() < 4 * np.sqrt(6000 * (1 / 3) * (2 / 3) * 0.9)


def test_another_network_cannot_go_on_from_its_statistics():
    agent = NeuralEpsilonGreedy()
    for other, same in (({"units": 32}, False), ({"layers": 3}, False), ({"epochs": 1, "seed": 5, "memory": 7}, True)):
        assert agent.model_copy(update=other).resumes(agent.model_dump(mode="json")) == same
