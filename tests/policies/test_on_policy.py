"""On-policy training of this package's agents: it learns, is repeated by its seed, and goes on after it was killed."""

import numpy as np
import pytest

from banditloop.rl_core.agents import Agent
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.environment import baselines
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.testing.planted import linear, noise, saved_and_loaded, trained
from banditloop.rl_core.training.on_policy import Curve, simulate, train_on_policy
from banditloop.rl_core.training.on_policy.checkpoint import CHECKPOINT
from banditloop.rl_core.training.on_policy.simulation import Simulation

LINEAR = {"name": "linear", "dim": 4, "actions": 3, "contexts": 200}


class Killed(Exception):
    """Raised in place of the end of the process."""


def config(environment=LINEAR, agent="linucb", **settings):
    return Config.parse({"environment": environment, "agent": {"name": agent}, "on_policy": settings})


def kill_after(loops):
    def on_loop(curve: Curve) -> None:
        if len(curve.loops) == loops:
            raise Killed

    return on_loop


def test_an_agent_learns_what_the_best_actions_earn():
    settings = config(training_loops=200)
    known = baselines(settings.environment)
    curve = simulate(settings)
    assert [loop.interactions for loop in curve.loops] == list(range(16, 3201, 16))
    assert curve.final_average_return > known["best_fixed"]
    assert np.mean([loop.regret for loop in curve.loops[-50:]]) < 0.1 * (known["oracle"] - known["uniform"])


def test_regret_and_return_together_are_the_best_expected_reward():
    """In every loop, up to the noise of its rewards and contexts."""
    settings = config(LINEAR | {"noise": 0.0, "contexts": 1}, training_loops=20)
    best = baselines(settings.environment)["oracle"]
    assert [loop.regret + loop.average_return for loop in simulate(settings).loops] == pytest.approx([best] * 20)


def test_the_seed_alone_chooses_the_training():
    assert simulate(config(), seed=1) == simulate(config(seed=1))
    assert simulate(config(), seed=1) != simulate(config(), seed=2)


def test_exploration_costs_regret():
    uniform = simulate(config(training_loops=300, exploration=1.0))
    known = baselines(config().environment)
    assert uniform.average_return == pytest.approx(known["uniform"], abs=0.05)
    assert uniform.average_regret == pytest.approx(known["oracle"] - known["uniform"], abs=0.05)


@pytest.mark.parametrize(
    "environment",
    [
        LINEAR,
        {"name": "drifting", "period": 100},  # time goes on
        {"name": "movielens", "movies": 6, "available": 3},  # other actions every time
        {"name": "movielens", "movies": 5, "genres": True},  # actions with features
        {"name": "delayed", "environment": LINEAR},
    ],
    ids=lambda environment: environment["name"],
)
def test_training_goes_on_after_it_was_killed(environment, tmp_path):
    settings = config(environment, training_loops=7, checkpoint_loops=2)
    statistics, curve = train_on_policy(settings, Simulation(settings))
    with pytest.raises(Killed):
        train_on_policy(settings, Simulation(settings), tmp_path, on_loop=kill_after(5))
    resumed, resumed_curve = train_on_policy(settings, Simulation(settings), tmp_path, resume=True)
    assert resumed_curve == curve
    assert all((resumed[name] == statistics[name]).all() for name in statistics)


def test_named_features_and_labels_are_learned(tmp_path):
    colours = ["red,small,apple", "green,small,pear", "red,large,tomato"]
    (tmp_path / "fruit.csv").write_text("\n".join(["colour,size,label", *colours * 10]) + "\n")
    settings = config({"name": "classification", "dataset": str(tmp_path / "fruit.csv")}, training_loops=40)
    simulation = Simulation(settings)
    _, curve = train_on_policy(settings, simulation)
    assert curve.final_average_return == 1.0
    assert simulation.encoding.context.names[0] == "constant"


def test_the_model_of_statistics_is_the_one_that_is_served():
    agent = LinUCB()
    statistics, observations = trained(agent, linear(0, 50)), noise(1, 20).observations
    served = saved_and_loaded(agent, statistics)
    for model in (agent.model(statistics), Agent.model(agent, statistics)):
        np.testing.assert_array_equal(model.probabilities(observations), served.probabilities(observations))


def test_regret_is_unknown_where_the_environment_does_not_know_it(tmp_path):
    settings = config({"name": "drifting"})
    _, curve = train_on_policy(settings, Simulation(settings), tmp_path)
    assert {loop.regret for loop in curve.loops} == {None}
    assert curve.summary()["cumulative_regret"] is None
    assert train_on_policy(settings, Simulation(settings), tmp_path, resume=True)[1] == curve


def test_more_loops_continue_a_finished_training(tmp_path):
    train_on_policy(config(training_loops=3), Simulation(config()), tmp_path)
    longer = config(training_loops=6)
    assert train_on_policy(longer, Simulation(longer), tmp_path, resume=True)[1] == simulate(longer)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    train_on_policy(config(), Simulation(config()), tmp_path)
    with pytest.raises(InvalidInput, match=f"{CHECKPOINT}: is of another task"):
        train_on_policy(config(batch_size=9), Simulation(config()), tmp_path, resume=True)


def test_without_an_environment_there_is_nothing_to_train_in():
    with pytest.raises(InvalidInput, match="environment: is missing; on-policy training needs one"):
        simulate(Config.parse({"task": {"actions": 2, "context": {"age": "number"}}}))
