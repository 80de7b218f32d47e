"""Reward models: ridge regressions corrected by propensities, and the network that agents explore over."""

import numpy as np
import pytest

from banditloop.rl_core.agents import Batch
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.agents.reward_models import Network, Ridge
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.testing.planted import ACTIONS, DIM, noise


def learned(model, *batches, actions=ACTIONS):
    dim = batches[0].observations.shape[1]
    return model.update(model.initial_statistics(dim, actions), batches)


def theta(model, *batches, actions=ACTIONS):
    return model.weights(learned(model, *batches, actions=actions))["theta"]


def features(batch):
    return np.column_stack([batch.observations.astype(float), np.ones(len(batch.actions))])


def fit(x, targets, weights, l2=0.5):
    return np.linalg.solve((x.T * weights) @ x + l2 * np.eye(x.shape[1]), (x.T * weights) @ targets)


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(3)
    eligible = random.random((300, ACTIONS)) < 0.7
    plain = noise(0, 300)
    eligible[np.arange(300), plain.actions] = True
    weights, propensities = random.uniform(0.5, 2, 300), random.uniform(0.1, 1, 300)
    return plain._replace(sample_weight=weights, propensities=propensities, eligible=eligible)


@pytest.mark.parametrize("cb_type", ["dm", "mtr", "ips", "dr"])
def test_ridge_solves_the_regression_that_its_correction_is(batch, cb_type):
    """Of each action's targets in all interactions in which it could be chosen, written out."""
    x, w, p = features(batch), batch.sample_weight, batch.propensities
    for action, weights in enumerate(theta(Ridge(l2=0.5, cb_type=cb_type), batch)):
        taken, possible = batch.actions == action, batch.eligible[:, action]
        direct = fit(x[taken], batch.rewards[taken], w[taken])
        left = np.where(taken, batch.rewards - x @ direct, 0) / p
        expected = {
            "dm": direct,
            "mtr": fit(x[taken], batch.rewards[taken], (w / p)[taken]),
            "ips": fit(x[possible], np.where(taken, batch.rewards, 0)[possible] / p[possible], w[possible]),
            "dr": direct + fit(x[possible], left[possible], w[possible]),
        }
        np.testing.assert_allclose(weights, expected[cb_type], rtol=1e-8)


@pytest.mark.parametrize("cb_type", ["mtr", "ips", "dr"])
def test_propensities_correct_a_model_that_is_wrong(cb_type):
    """The reward is x², which no line fits, and the action is mostly taken where x > 0: uncorrected, it rises."""
    random, rows = np.random.default_rng(0), 50_000
    x = random.uniform(-1, 1, size=rows)
    probability = np.where(x > 0, 0.9, 0.1)
    taken = random.random(rows) < probability
    propensities = np.where(taken, probability, 1 - probability)
    batch = Batch(x[:, None].astype(np.float32), 1 - taken.astype(int), np.where(taken, x**2, 0.0), None, propensities)
    assert theta(Ridge(), batch, actions=2)[0, 0] > 0.3
    np.testing.assert_allclose(theta(Ridge(cb_type=cb_type), batch, actions=2)[0], [0, 1 / 3], atol=0.03)


@pytest.mark.parametrize("model", [Ridge(cb_type="dr"), Ridge(cb_type="ips"), Network(cb_type="mtr")], ids=repr)
def test_a_correction_needs_propensities(model):
    with pytest.raises(InvalidInput, match='cb_type: the interactions have no propensities; give "dm"'):
        learned(model, noise(0, 10)._replace(propensities=None))


def test_an_importance_weighted_network_is_one_of_weighted_interactions():
    batch, settings = noise(0, 200), {"hidden_units": 8, "epochs": 3}
    batch = batch._replace(propensities=np.random.default_rng(0).uniform(0.1, 1, 200))
    weighted = learned(Network(cb_type="mtr", **settings), batch)
    expected = learned(Network(**settings), batch._replace(sample_weight=1 / batch.propensities))
    np.testing.assert_array_equal(weighted["kernel_0"], expected["kernel_0"])
    assert not Network(cb_type="mtr").can_resume_from(Network().model_dump())


def test_the_error_is_the_deviation_of_the_noise():
    batch, truth = noise(0, 3000), np.random.default_rng(1).normal(size=(DIM, ACTIONS))
    signal = (batch.observations @ truth)[np.arange(3000), batch.actions]
    noisy = batch._replace(rewards=7 + signal + 0.5 * batch.rewards)
    for model in (Ridge(), Ridge(cb_type="dr")):
        assert model.error(learned(model, noisy)) == pytest.approx(0.5, rel=0.06)  # of which 0.015 is a standard error
        assert model.error(model.initial_statistics(DIM, ACTIONS)) == 0


def test_the_error_of_few_interactions_is_not_that_of_the_fit():
    """Seven weights of an action from eight interactions leave next to no residuals."""
    errors = [Ridge(l2=1e-3).error(learned(Ridge(l2=1e-3), noise(seed, 8 * ACTIONS))) for seed in range(30)]
    assert np.mean(errors) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("model", [Ridge(), Network(hidden_layers=1, epochs=2)], ids=["ridge", "network"])
def test_mean_scores_are_means_over_the_contexts(model):
    batch = noise(0, 500)
    statistics = learned(model, batch)
    weights = {name: array.astype(float) for name, array in model.weights(statistics).items()}
    expected = model.scores(weights, batch.observations.astype(float)).mean(axis=0)
    np.testing.assert_allclose(model.mean_scores(statistics), expected, rtol=1e-6, atol=1e-9)


def test_the_network_is_that_of_neural_epsilon_greedy():
    batch, settings = noise(0, 300), {"hidden_units": 8, "epochs": 3}
    agent, network = NeuralEpsilonGreedy(**settings), Network(**settings)
    theirs = agent.model(agent.update(agent.initial_statistics(DIM, ACTIONS), [batch]))
    weights = {name: array.astype(float) for name, array in network.weights(learned(network, batch)).items()}
    ours = network.scores(weights, batch.observations.astype(float))
    np.testing.assert_allclose(ours, theirs.expected_rewards(batch.observations), rtol=1e-3, atol=1e-4)


def test_only_ridge_regressions_merge_and_sums_of_one_correction_do_not_go_on_with_those_of_another():
    assert Ridge().is_mergeable
    assert not Network().is_mergeable
    assert Ridge(l2=2.0).can_resume_from(Ridge().model_dump())
    assert not Ridge(cb_type="dr").can_resume_from(Ridge().model_dump())
    assert not Network().can_resume_from(Ridge().model_dump())
