"""The neural agent: it learns what no linear one can, forgets nothing, and remembers a fair sample."""

import itertools

import numpy as np
import pytest

from rl_core.agents import Batch, LinUCB, NeuralEpsilonGreedy
from rl_core.training import train
from tests.conftest import make_config, random_interactions
from tests.test_agents import ACTIONS, DIM, interactions, linear, model_of, right, trained

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


@pytest.mark.parametrize(("scale", "offset", "worth"), [(100, 1e5, 1), (1e-3, 0, 1), (1, 0, 1e3), (1, 5, 1e-4)])
def test_units_do_not_matter_nor_does_a_beginning_on_a_single_interaction(scale, offset, worth):
    def seen(x):
        return (scale * x + offset).astype(np.float32)

    agent, parts = NeuralEpsilonGreedy(), [linear(0, 1), *(linear(seed, 1000) for seed in range(1, 4))]
    batches = [Batch(seen(x), actions, worth * (rewards + offset)) for x, actions, rewards, _ in parts]
    assert right(agent, trained(agent, *batches), seen) > 0.9


def test_features_that_do_not_vary_are_of_no_account():
    """Whatever their value, and should it change one day."""
    fixed = [0.1, 1.1, 1234.5, 999_999.7]

    def beside(observations, more=0.0):
        return np.column_stack([observations, np.full((len(observations), 4), fixed) + more]).astype(np.float32)

    agent, (x, actions, rewards, _) = NeuralEpsilonGreedy(), linear(0, 4000)
    statistics = agent.learn(agent.start(DIM + 4, ACTIONS), [Batch(beside(x), actions, rewards)])
    np.testing.assert_allclose(statistics["mean"][-4:], np.float32(fixed), rtol=1e-6)
    np.testing.assert_array_equal(statistics["deviation"][-4:], 1)
    assert right(agent, statistics, beside) > 0.9
    assert right(agent, statistics, lambda x: beside(x, 0.01)) > 0.9


def test_one_enormous_event_does_not_spoil_what_others_teach():
    agent = NeuralEpsilonGreedy(memory=1000)
    statistics = trained(agent, *(linear(seed, 1000) for seed in range(4)))
    x, actions, rewards, _ = linear(4, 1000)
    x[500], rewards[500] = 1e6, 1e6
    assert right(agent, agent.learn(statistics, [Batch(x, actions, rewards)])) > 0.9


def test_what_was_never_tried_is_expected_to_be_worth_the_mean():
    observations, actions, rewards, _ = interactions(0, 500)
    agent, batch = NeuralEpsilonGreedy(), Batch(observations, np.minimum(actions, 3), rewards)
    model = model_of(agent, trained(agent, batch))
    np.testing.assert_allclose(model.expected(observations)[:, 4], rewards.mean(), rtol=1e-5)


def test_as_long_as_it_remembers_everything_it_begins_anew():
    """What it was taught first and what last counts alike, however often it was trained."""
    agent, parts = NeuralEpsilonGreedy(memory=2000), [linear(seed, 500) for seed in range(4)]
    networks = []
    for trainings in ([parts], [[part] for part in parts]):
        statistics = agent.start(DIM, ACTIONS)
        for batches in trainings:
            statistics = agent.learn(statistics, batches)
        networks.append(statistics)
    for name in networks[0]:
        np.testing.assert_array_equal(networks[0][name], networks[1][name])
    assert networks[0]["unit"][0] == pytest.approx(np.concatenate([part.rewards for part in parts]).mean())
    more = agent.learn(networks[0], [linear(9, 1)])
    again = agent.learn(more, [linear(10, 100)])
    np.testing.assert_array_equal(more["unit"], again["unit"])  # the network goes on, in units that stay


def test_training_does_not_depend_on_the_order_in_which_a_log_is_read(tmp_path):
    config = make_config(tmp_path, agent={"name": "neural_epsilon_greedy", "epochs": 2})
    table, order = random_interactions(300), np.random.default_rng(0).permutation(300)
    once, again = (train(config, [part], config.agent.start(20, 20)) for part in (table, table.take(order)))
    for name in once:
        np.testing.assert_array_equal(once[name], again[name])


def error(agent: NeuralEpsilonGreedy, statistics, arms: list[int]) -> float:
    """Root mean squared error of its expectations of some arms, of which half are worth 0 and half 1."""
    asked = opposites(9, [0]).observations
    truth = same_sign(asked)[:, None] == (np.array(arms) % 2 == 0)
    return float(np.sqrt(((model_of(agent, statistics).expected(asked)[:, arms] - truth) ** 2).mean()))


def test_it_does_not_forget_what_it_does_no_longer_see():
    """Six trainings on two arms after one on all four."""
    after = {}
    for memory in (0, 10_000):
        agent = NeuralEpsilonGreedy(memory=memory)
        statistics = agent.learn(agent.start(2, 4), [opposites(0, [0, 1, 2, 3])])
        before = error(agent, statistics, [2, 3])
        for seed in range(1, 7):
            statistics = agent.learn(statistics, [opposites(seed, [0, 1], 2000)])
        after[memory] = error(agent, statistics, [2, 3]) / before
    assert after[10_000] < 1 < 1.5 < after[0]


def test_what_it_remembers_is_a_uniform_sample_of_all_that_came():
    """Of 3,000 interactions in batches of several sizes 300: as many of every third, up to four standard errors."""
    agent, rows = NeuralEpsilonGreedy(memory=300, units=2, layers=1, epochs=1, minibatch=1000), np.arange(3000.0)
    found = []
    for seed in range(10):
        agent, cuts = agent.model_copy(update={"seed": seed}), [0, 5, 305, 1305, 1306, 3000]
        parts = [rows[start:end] for start, end in itertools.pairwise(cuts)]
        batches = [Batch(part[:, None].astype(np.float32), np.zeros(len(part), int), part, part) for part in parts]
        statistics = agent.learn(agent.start(1, 2), batches)
        remembered = statistics["memory_rewards"]
        assert len(set(remembered)) == len(remembered) == 300
        np.testing.assert_array_equal(statistics["memory_weights"], remembered)
        found.append(np.bincount((remembered // 1000).astype(int), minlength=3))
    thirds = np.sum(found, axis=0)
    assert np.abs(thirds - 1000).max() < 4 * np.sqrt(3000 * (1 / 3) * (2 / 3) * 0.9)


def test_another_network_cannot_go_on_from_its_statistics():
    agent = NeuralEpsilonGreedy()
    for other, same in (({"units": 32}, False), ({"layers": 3}, False), ({"epochs": 1, "seed": 5, "memory": 7}, True)):
        assert agent.model_copy(update=other).resumes(agent.model_dump(mode="json")) == same
