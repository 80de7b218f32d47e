"""TF-Agents' agents by algorithm: they learn, and one with another's variables goes on as that one does."""

import numpy as np
import pytest

from banditloop.rl_core.agents.tf_agents_algorithms import ALGORITHMS, parse_algorithm
from banditloop.rl_core.errors import InvalidInput

pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError)
pytest.importorskip("tf_agents.trajectories.trajectory")

from banditloop.rl_core.agents.tf_agents_factory import BUILDERS, TFAgent, make_tf_agent, restore, tf, variables
from banditloop.rl_core.events.trajectories import trajectories

DIM, ACTIONS, ROWS = 3, 4, 40


def _experience(seed):
    random = np.random.default_rng(seed)
    observations, actions = random.normal(size=(ROWS, DIM)), random.integers(ACTIONS, size=ROWS)
    return observations.astype(np.float32), actions, random.random(ROWS).astype(np.float32)


def _learn(agent: TFAgent, seed: int) -> None:
    spec = agent.training_data_spec.policy_info
    info = tf.nest.map_structure(lambda field: tf.math.log(tf.fill([ROWS, 1], 1 / ACTIONS)), spec)
    agent.train(trajectories(*_experience(seed), info))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_variables_are_all_that_an_agent_learned(name):
    algorithm = parse_algorithm(name, {})
    agent, other = (make_tf_agent(algorithm, DIM, ACTIONS, seed) for seed in (0, 1))
    before = variables(agent)
    _learn(agent, 0)
    after = variables(agent)
    assert before.keys() == after.keys()
    assert any((before[key] != after[key]).any() for key in after)
    restore(other, after)
    for each in (agent, other):
        tf.random.set_seed(0)  # dropout stays on
        _learn(each, 1)
    ours, theirs = variables(agent), variables(other)
    assert all(np.allclose(ours[key], theirs[key], rtol=1e-6) for key in ours)


def test_every_algorithm_is_built():
    assert set(BUILDERS) == set(ALGORITHMS.values())


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("linucb", {}, "algorithm = 'linucb': did you mean 'lin_ucb'?"),
        ("lin_ucb", {"tikhonov_weight": 0.0}, "tikhonov_weight = 0.0: "),
        ("neural_falcon", {"epsilon": 0.1}, "epsilon = 0.1: is no key"),
        ("exp3", {"learning_rate": 2.0}, "learning_rate = 2.0: "),
    ],
)
def test_what_no_agent_has_is_refused(name, values, message):
    with pytest.raises(InvalidInput, match=message.replace("?", r"\?")):
        parse_algorithm(name, values)
