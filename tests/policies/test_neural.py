"""The neural agent: it learns non-linear rewards, does not forget, and replays a uniform sample."""

import itertools

import numpy as np
import pytest

from banditloop.rl_core.agents import Batch
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy, prediction_error
from banditloop.rl_core.agents.neural_linear import NeuralLinear
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.testing.planted import ACTIONS, DIM, greedy_accuracy, linear, noise, saved_and_loaded, trained
from banditloop.rl_core.training.train import train
from tests.conftest import make_config, random_interactions

ROWS = 4000


def xor_batch(seed: int, actions: list[int], rows: int = ROWS) -> Batch:
    """Even actions earn 1 where both features have the same sign, odd actions elsewhere: not linearly separable."""
    random = np.random.default_rng(seed)
    observations = random.normal(size=(rows, 2)).astype(np.float32)
    chosen = random.choice(actions, size=rows)
    return Batch(observations, chosen, (same_sign(observations) == (chosen % 2 == 0)).astype(float))


def same_sign(observations: np.ndarray) -> np.ndarray:
    return observations[:, 0] * observations[:, 1] > 0


@pytest.mark.parametrize(
    ("agent", "lowest", "highest"),
    [(NeuralEpsilonGreedy(), 0.95, 1), (NeuralLinear(), 0.95, 1), (LinUCB(alpha=0), 0.4, 0.6)],
)
def test_it_learns_rewards_that_a_linear_agent_cannot(agent, lowest, highest):
    model = saved_and_loaded(agent, agent.update(agent.initial_statistics(2, 2), [xor_batch(0, [0, 1])]))
    observations = xor_batch(1, [0]).observations
    assert lowest <= ((model.greedy_actions(observations) == 0) == same_sign(observations)).mean() <= highest


@pytest.mark.parametrize(("scale", "offset", "reward_scale"), [(100, 1e5, 1), (1e-3, 0, 1), (1, 0, 1e3), (1, 5, 1e-4)])
def test_learning_does_not_depend_on_units_or_on_a_first_batch_of_one_interaction(scale, offset, reward_scale):
    def rescaled(x):
        return (scale * x + offset).astype(np.float32)

    agent, parts = NeuralEpsilonGreedy(), [linear(0, 1), *(linear(seed, 1000) for seed in range(1, 4))]
    batches = [Batch(rescaled(x), actions, reward_scale * (rewards + offset)) for x, actions, rewards, *_ in parts]
    assert greedy_accuracy(agent, trained(agent, *batches), rescaled) > 0.9


def test_constant_features_are_ignored():
    """For any constant value, and if it changes a little after training."""
    fixed = [0.1, 1.1, 1234.5, 999_999.7]

    def with_constants(observations, shift=0.0):
        return np.column_stack([observations, np.full((len(observations), 4), fixed) + shift]).astype(np.float32)

    agent, (x, actions, rewards, *_) = NeuralEpsilonGreedy(), linear(0, 4000)
    statistics = agent.update(agent.initial_statistics(DIM + 4, ACTIONS), [Batch(with_constants(x), actions, rewards)])
    np.testing.assert_allclose(statistics["mean"][-4:], np.float32(fixed), rtol=1e-6)
    np.testing.assert_array_equal(statistics["deviation"][-4:], 1)
    assert greedy_accuracy(agent, statistics, with_constants) > 0.9
    assert greedy_accuracy(agent, statistics, lambda x: with_constants(x, 0.01)) > 0.9


def test_a_single_outlier_does_not_prevent_learning():
    agent = NeuralEpsilonGreedy(replay_size=1000)
    statistics = trained(agent, *(linear(seed, 1000) for seed in range(4)))
    x, actions, rewards, *_ = linear(4, 1000)
    x[500], rewards[500] = 1e6, 1e6
    assert greedy_accuracy(agent, agent.update(statistics, [Batch(x, actions, rewards)])) > 0.9


def test_untried_actions_are_expected_to_earn_the_mean_reward():
    observations, actions, rewards, *_ = noise(0, 500)
    agent, batch = NeuralEpsilonGreedy(), Batch(observations, np.minimum(actions, 3), rewards)
    model = saved_and_loaded(agent, trained(agent, batch))
    np.testing.assert_allclose(model.expected_rewards(observations)[:, 4], rewards.mean(), rtol=1e-5)


@pytest.mark.slow
def test_while_the_replay_buffer_holds_everything_several_trainings_equal_one():
    """First and last interactions count alike, in one training or in several."""
    agent, parts = NeuralEpsilonGreedy(replay_size=2000), [linear(seed, 500) for seed in range(4)]
    networks = []
    for trainings in ([parts], [[part] for part in parts]):
        statistics = agent.initial_statistics(DIM, ACTIONS)
        for batches in trainings:
            statistics = agent.update(statistics, batches)
        networks.append(statistics)
    for name in networks[0]:
        np.testing.assert_array_equal(networks[0][name], networks[1][name])
    assert networks[0]["reward_scale"][0] == pytest.approx(np.concatenate([part.rewards for part in parts]).mean())
    overflowing = agent.update(networks[0], [linear(9, 1)])
    continued = agent.update(overflowing, [linear(10, 100)])
    np.testing.assert_array_equal(overflowing["reward_scale"], continued["reward_scale"])  # the scale is kept


def test_training_does_not_depend_on_the_order_of_the_log(tmp_path):
    config = make_config(tmp_path, agent={"name": "neural_epsilon_greedy", "epochs": 2})
    table, order = random_interactions(300), np.random.default_rng(0).permutation(300)
    encoding, initial = Encoding.of_vectors(20, 20), config.agent.initial_statistics(20, 20)
    in_order, shuffled = (train(config, encoding, [part], initial) for part in (table, table.take(order)))
    for name in in_order:
        np.testing.assert_array_equal(in_order[name], shuffled[name])


def error(agent: NeuralEpsilonGreedy, statistics, arms: list[int]) -> float:
    """Root mean squared error of the expected rewards of some arms; half of the true rewards are 0, half 1."""
    observations = xor_batch(9, [0]).observations
    truth = same_sign(observations)[:, None] == (np.array(arms) % 2 == 0)
    return float(
        np.sqrt(((saved_and_loaded(agent, statistics).expected_rewards(observations)[:, arms] - truth) ** 2).mean())
    )


@pytest.mark.slow
def test_it_does_not_forget_arms_that_are_no_longer_logged():
    """After one training on four arms come six on two of them."""
    after = {}
    for replay_size in (0, 10_000):
        agent = NeuralEpsilonGreedy(replay_size=replay_size)
        statistics = agent.update(agent.initial_statistics(2, 4), [xor_batch(0, [0, 1, 2, 3])])
        before = error(agent, statistics, [2, 3])
        for seed in range(1, 7):
            statistics = agent.update(statistics, [xor_batch(seed, [0, 1], 2000)])
        after[replay_size] = error(agent, statistics, [2, 3]) / before
    assert after[10_000] < 1 < 1.5 < after[0]


@pytest.mark.slow
def test_the_replay_buffer_is_a_uniform_sample_of_all_interactions():
    """300 of 3,000 interactions in several batches: equally many of each third, within four standard errors."""
    agent, rows = (
        NeuralEpsilonGreedy(replay_size=300, hidden_units=2, hidden_layers=1, epochs=1, batch_size=1000),
        np.arange(3000.0),
    )
    counts = []
    for seed in range(10):
        agent, cuts = agent.model_copy(update={"seed": seed}), [0, 5, 305, 1305, 1306, 3000]
        parts = [rows[start:end] for start, end in itertools.pairwise(cuts)]
        batches = [Batch(part[:, None].astype(np.float32), np.zeros(len(part), int), part, part) for part in parts]
        statistics = agent.update(agent.initial_statistics(1, 2), batches)
        replayed = statistics["replay_rewards"]
        assert len(set(replayed)) == len(replayed) == 300
        np.testing.assert_array_equal(statistics["replay_weights"], replayed)
        counts.append(np.bincount((replayed // 1000).astype(int), minlength=3))
    thirds = np.sum(counts, axis=0)
    assert np.abs(thirds - 1000).max() < 4 * np.sqrt(3000 * (1 / 3) * (2 / 3) * 0.9)


def test_another_architecture_cannot_resume_from_its_statistics():
    agent = NeuralEpsilonGreedy()
    for changes, resumes in (
        ({"hidden_units": 32}, False),
        ({"hidden_layers": 3}, False),
        ({"epochs": 1, "seed": 5, "replay_size": 7}, True),
        ({"replay_size": 10_001}, False),
    ):
        assert agent.model_copy(update=changes).can_resume_from(agent.model_dump(mode="json")) == resumes


def test_its_error_is_that_of_predictions_before_training_on_the_rewards():
    """At first that of the mean, then that of what was learned; over all interactions."""
    agent, parts = NeuralEpsilonGreedy(epochs=10), [linear(seed, 1000) for seed in range(3)]
    statistics = trained(agent, parts[0])
    first = parts[0].rewards.std()
    assert prediction_error(statistics) == pytest.approx(first)
    errors = saved_and_loaded(agent, statistics).expected_rewards(parts[1].observations)[
        np.arange(1000), parts[1].actions
    ]
    second = np.sqrt(((errors - parts[1].rewards) ** 2).mean())
    statistics = agent.update(statistics, [parts[1]])
    assert prediction_error(statistics) == pytest.approx(np.sqrt((first**2 + second**2) / 2), rel=1e-5)
    assert second < 0.5 * first
    assert agent.metrics(agent.update(statistics, [parts[2]]))["error"] < prediction_error(statistics)


def test_neural_linear_explores_what_it_knows_little_of():
    """An action tried ten times, as good as the best one so far, is taken; one known to be worse hardly ever."""
    agent, random = NeuralLinear(hidden_layers=1, hidden_units=8, epochs=5), np.random.default_rng(0)
    observations, rewards = random.normal(size=(1030, 2)).astype(np.float32), random.normal(size=1030)
    actions = np.concatenate([np.full(510, 0), np.full(510, 1), np.full(10, 2)])
    rewards[actions == 1] -= 1
    rewards[actions == 2] -= rewards[actions == 2].mean() - rewards[actions == 0].mean()
    model = saved_and_loaded(
        agent, agent.update(agent.initial_statistics(2, 3), [Batch(observations, actions, rewards)])
    )
    probabilities = model.probabilities(observations).mean(axis=0)
    assert probabilities[1] < 0.1 < probabilities[2]
    assert model.probabilities(observations[:5]).max() < 1
