"""PPO: advantages by their definition, the policy gradient on planted episodes, and the policy as it is served."""

import numpy as np
import pytest

from banditloop.rl_core.agents import Transitions
from banditloop.rl_core.agents.advantages import advantages, returns
from banditloop.rl_core.agents.ppo import PPO
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.testing.planted import saved_and_loaded

DIM, ACTIONS = 3, 4
SMALL = PPO(hidden_units=16, batch_size=100, epochs=4, learning_rate=0.01)


def episodes(lengths, probabilities=None, seed=0, discount=0.9):
    """Episodes of random observations, which end after so many steps; each action a earns a/10."""
    random, count = np.random.default_rng(seed), sum(lengths)
    chances = np.full(ACTIONS, 1 / ACTIONS) if probabilities is None else probabilities
    actions = random.choice(ACTIONS, size=count, p=chances)
    ends = np.zeros(count, bool)
    ends[np.cumsum(lengths) - 1] = True
    return Transitions(
        observations=random.normal(size=(count, DIM)).astype(np.float32),
        actions=actions,
        rewards=actions / 10,
        next_observations=random.normal(size=(count, DIM)).astype(np.float32),
        discounts=np.where(ends, 0.0, discount),
        is_known=np.ones(count, bool),
        episodes=np.repeat(np.arange(len(lengths)), lengths),
        steps=np.concatenate([np.arange(length) for length in lengths]),
        propensities=chances[actions],
    )


def learned(agent, loops, **columns):
    """The statistics after loops of the agent's own episodes."""
    statistics = agent.initial_statistics(DIM, ACTIONS)
    for loop in range(loops):
        chances = agent.model(statistics).probabilities(np.zeros((1, DIM)))[0]
        played = episodes([5] * 40, chances, seed=loop)._replace(**columns)
        chosen = agent.model(statistics).probabilities(played.observations)[np.arange(200), played.actions]
        statistics, _ = agent.learn(statistics, played._replace(propensities=chosen))
    return statistics


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_advantages_are_sums_of_what_was_not_expected(trace):
    """The definition: Σ (γλ)ᵏ δ over the rest of the episode."""
    played, random = episodes([3, 1, 5, 2]), np.random.default_rng(1)
    values, next_values = random.normal(size=(2, 11))
    surprises = played.rewards + played.discounts * next_values - values
    expected = [
        sum((0.9 * trace) ** k * surprises[row + k] for k in range(11 - row) if played.episodes[row + k] == number)
        for row, number in enumerate(played.episodes)
    ]
    np.testing.assert_allclose(advantages(played, values, next_values, trace), expected)


def test_returns_are_discounted_to_the_end_of_the_episode():
    played = episodes([2, 3])._replace(rewards=np.arange(1.0, 6.0))
    np.testing.assert_allclose(returns(played), [1 + 0.9 * 2, 2, 3 + 0.9 * 4 + 0.81 * 5, 4 + 0.9 * 5, 5])


def test_it_comes_to_prefer_what_earns_most():
    model = saved_and_loaded(SMALL, learned(SMALL, 12))
    observations = np.random.default_rng(9).normal(size=(100, DIM))
    assert model.probabilities(observations)[:, ACTIONS - 1].mean() > 0.8
    np.testing.assert_array_equal(model.greedy_actions(observations), ACTIONS - 1)
    np.testing.assert_allclose(np.exp(model.expected_rewards(observations)), model.probabilities(observations))


def test_a_large_weight_of_the_entropy_keeps_it_uniform():
    agent = SMALL.model_copy(update={"entropy": 100.0})
    chances = agent.model(learned(agent, 12)).probabilities(np.zeros((1, DIM)))
    np.testing.assert_allclose(chances, 1 / ACTIONS, atol=0.02)


def test_a_loop_changes_a_probability_about_as_far_as_it_may():
    """Where the ratio of probabilities has left the clip there is no gradient any more."""
    agent = SMALL.model_copy(update={"epochs": 100, "clip": 0.1})
    chances = agent.model(learned(agent, 1)).probabilities(episodes([5] * 40).observations) * ACTIONS
    assert 1.05 < chances[:, ACTIONS - 1].mean() < 1.3
    free = SMALL.model_copy(update={"epochs": 100, "clip": 0.99})
    assert free.model(learned(free, 1)).probabilities(np.zeros((1, DIM)))[0, ACTIONS - 1] * ACTIONS > 1.5


def test_actions_that_cannot_be_chosen_have_no_part_in_it():
    eligible = np.ones((200, ACTIONS), bool)
    eligible[:, 0] = False
    agent, mask = SMALL, eligible[:1]
    statistics = agent.initial_statistics(DIM, ACTIONS)
    for loop in range(12):
        chances = agent.model(statistics).probabilities(np.zeros((1, DIM)), mask)[0]
        played = episodes([5] * 40, chances, seed=loop)._replace(eligible=eligible)
        statistics, losses = agent.learn(statistics, played)
        assert np.isfinite([*losses.values()]).all()
    chances = agent.model(statistics).probabilities(np.zeros((5, DIM)), eligible[:5])
    assert (chances[:, 0] == 0).all()
    assert (chances[:, ACTIONS - 1] > 0.8).all()


def test_the_value_of_the_step_is_learned_though_the_policy_does_not_see_it():
    """Rewards of 1 a step until the fifth: the critic's error falls below that of any function of the observation."""
    agent = SMALL.model_copy(update={"epochs": 50})
    statistics = learned(agent, 8, rewards=np.ones(200))
    assert statistics["losses"][1] < 0.2, "in units of the variance of returns"


def test_actions_may_join():
    statistics = learned(SMALL, 2)
    grown = SMALL.with_actions(statistics, ACTIONS + 2)
    observations = np.random.default_rng(0).normal(size=(50, DIM))
    before, after = SMALL.model(statistics), SMALL.model(grown)
    assert after.shape == (DIM, ACTIONS + 2)
    np.testing.assert_allclose(
        np.diff(after.expected_rewards(observations)[:, :ACTIONS]), np.diff(before.expected_rewards(observations))
    )
    SMALL.learn(grown, episodes([5, 5]))


def test_the_largest_observations_and_rewards_leave_it_finite():
    extreme = episodes([5] * 40)
    extreme = extreme._replace(observations=extreme.observations * 1e12, rewards=extreme.rewards * 1e12)
    statistics = SMALL.initial_statistics(DIM, ACTIONS)
    for played in (episodes([5] * 40), extreme, episodes([1])):
        statistics, _ = SMALL.learn(statistics, played)
        assert all(np.isfinite(array).all() for array in statistics.values())
    assert np.isfinite(SMALL.model(statistics).probabilities(extreme.observations)).all()


def test_a_file_of_another_agent_is_refused(tmp_path):
    np.savez(tmp_path / "weights.npz", mean=np.zeros(3))
    with pytest.raises(InvalidInput, match="not the policy of ppo"):
        PPO().load(tmp_path)


def test_the_exported_saved_model_has_the_same_probabilities(tmp_path):
    tf = pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError).tf
    time_step = pytest.importorskip("tf_agents.trajectories.time_step")
    statistics = learned(SMALL, 3)
    SMALL.save(statistics, tmp_path)
    SMALL.export_saved_model(tmp_path, DIM, ACTIONS)
    observations = np.random.default_rng(0).normal(size=(50, DIM)).astype(np.float32)
    policy = tf.saved_model.load(str(tmp_path))
    step = policy.action(time_step.restart(tf.constant(observations), 50))
    model = SMALL.model(statistics)
    np.testing.assert_allclose(step.info["probabilities"], model.probabilities(observations), atol=1e-7)
    np.testing.assert_allclose(step.info["predicted_rewards_mean"], model.expected_rewards(observations), atol=1e-5)
    np.testing.assert_array_equal(step.action, model.greedy_actions(observations))
