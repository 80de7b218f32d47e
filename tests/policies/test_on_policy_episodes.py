"""On-policy training on episodes: agents learn from what they play, and go on after they were killed."""

import json
import subprocess
import sys

import numpy as np
import pytest

from banditloop.rl_core.agents.dqn import DQN
from banditloop.rl_core.agents.ppo import PPO
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import episode_seeds
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.on_policy import on_policy_step
from banditloop.rl_core.reports.on_policy_page import write_training_report
from banditloop.rl_core.rollouts import chooses, returns, uniformly
from banditloop.rl_core.training.on_policy import Curve, make_simulation, simulate, train_on_policy
from banditloop.rl_core.training.on_policy.checkpoint import read_checkpoint
from tests.benchmarks.sequential_online import earned, trained_policy
from tests.support.sequential_agents import Idle

CARTPOLE = {"name": "cartpole", "max_steps": 60}
AGENTS = {
    "ppo": {"name": "ppo", "batch_size": 128},
    "dqn": {
        "name": "dqn",
        "hidden_layers": 1,
        "batch_size": 128,
        "tau": 0.03,
        "decisions_per_step": 2,
        "exploration_decisions": 2000,
    },
}
PLAYED = {"training_loops": 4, "steps_per_loop": 10, "batch_size": 8, "checkpoint_loops": 1}
every_agent = pytest.mark.parametrize("agent", AGENTS)


TRAIN = """
import json, sys
from pathlib import Path
from banditloop.rl_core.config import Config
from banditloop.rl_core.training.on_policy import make_simulation, train_on_policy
config = Config.parse(json.loads(sys.argv[1]))
simulation, folder = make_simulation(config), Path(sys.argv[2])
train_on_policy(config, simulation, folder, on_loop=lambda curve: print(len(curve.loops), flush=True))
"""


class Killed(Exception):
    """Raised in place of the end of the process."""


def config(agent="ppo", environment=CARTPOLE, discount=0.99, **settings):
    values = {"environment": environment, "episodes": {"discount": discount}, "agent": AGENTS[agent]}
    return Config.parse(values | {"on_policy": PLAYED | settings})


def played(settings, episodes=20):
    """The episodes of the agent before any training."""
    simulation = make_simulation(settings)
    model = settings.agent.model(settings.agent.initial_statistics(*simulation.shape))
    return simulation.play(model, 1.0, [episode_seeds(0, 0, episodes)], 1)


@every_agent
def test_an_agent_learns_to_play_longer(agent):
    curve = simulate(config(agent, training_loops=12, steps_per_loop=32))
    first, last = curve.loops[0], curve.loops[-1]
    assert last.average_return > 2 * first.average_return
    assert last.measures["entropy"] < first.measures["entropy"] == pytest.approx(np.log(2))
    assert curve.average_return == pytest.approx(curve.interactions / last.episodes), "every step earns 1"


@every_agent
def test_a_loop_plays_rounds_of_whole_episodes_until_it_has_its_decisions(agent):
    curve, before = simulate(config(agent)), (0, 0)
    for loop in curve.loops:
        decisions, episodes = loop.interactions - before[0], loop.episodes - before[1]
        assert decisions >= 80 > decisions - 8 * 60
        assert episodes % 8 == 0
        assert decisions / episodes == loop.measures["average_length"] == loop.average_return
        before = loop.interactions, loop.episodes


@every_agent
def test_training_goes_on_after_it_was_killed(agent, tmp_path):
    def kill(curve: Curve) -> None:
        if len(curve.loops) == 3:
            raise Killed

    settings = config(agent, training_loops=5)
    if agent == "dqn":  # whose buffer is full by then
        settings = settings.model_copy(update={"agent": settings.agent.model_copy(update={"replay_size": 300})})
    statistics, curve = train_on_policy(settings, make_simulation(settings))
    with pytest.raises(Killed):
        train_on_policy(settings, make_simulation(settings), tmp_path, on_loop=kill)
    resumed, resumed_curve = train_on_policy(settings, make_simulation(settings), tmp_path, resume=True)
    assert resumed_curve == curve
    assert resumed.keys() == statistics.keys()
    assert all((resumed[name] == statistics[name]).all() for name in statistics)


def test_training_goes_on_after_kill_9_at_any_moment(tmp_path):
    settings = config(training_loops=10_000)
    command = [sys.executable, "-c", TRAIN, json.dumps(settings.to_dict()), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for loop in range(3):
            assert process.stdout.readline() == f"{loop + 1}\n"
        process.kill()
    _, killed = read_checkpoint(tmp_path, settings)
    assert 2 <= len(killed.loops) < 10_000, "a loop is reported before its checkpoint is written"
    longer = config(training_loops=len(killed.loops) + 1)
    resumed, curve = train_on_policy(longer, make_simulation(longer), tmp_path, resume=True)
    statistics, expected = train_on_policy(longer, make_simulation(longer))
    assert curve == expected
    assert all((resumed[name] == statistics[name]).all() for name in statistics)


def test_another_discount_is_another_training(tmp_path):
    train_on_policy(config(), make_simulation(config()), tmp_path)
    with pytest.raises(InvalidInput, match="is of another task"):
        train_on_policy(config(discount=0.9), make_simulation(config()), tmp_path, resume=True)


def test_transitions_go_from_one_observation_to_the_next_and_end_with_their_episode():
    transitions, earned, entropies = played(config(environment=CARTPOLE | {"max_steps": 25}))
    last = np.append(np.diff(transitions.episodes) > 0, True)
    np.testing.assert_array_equal(transitions.next_observations[~last], transitions.observations[1:][~last[:-1]])
    assert (transitions.next_observations[last] != transitions.observations[last]).any(axis=1).all()
    is_cut = transitions.steps[last] == 24
    assert 0 < is_cut.sum() < 20
    np.testing.assert_array_equal(transitions.discounts[last], np.where(is_cut, 0.99, 0.0))
    assert (transitions.discounts[~last] == 0.99).all()
    assert transitions.is_known.all()
    assert set(transitions.propensities) == {0.5}
    np.testing.assert_allclose(entropies, np.log(2))
    np.testing.assert_array_equal(earned, transitions.steps[last] + 1)


def test_without_a_discount_a_cut_is_an_end_and_rewards_are_in_the_units_of_their_environment():
    transitions, earned, _ = played(config(environment={"name": "newsvendor"}, discount=1.0))
    assert (transitions.discounts == np.where(transitions.steps == 39, 0.0, 1.0)).all()
    scaled = np.bincount(transitions.episodes, transitions.rewards)
    ratios = earned / scaled  # price × mean demand + 5
    assert ratios.min() > 5
    assert ratios.max() < 20_005
    assert len(set(ratios.round(6))) == 20


def test_the_trained_policy_is_served_with_its_exploration_floor_and_its_curve_is_a_page(tmp_path):
    settings = Config.parse(config(training_loops=8, steps_per_loop=32).to_dict() | {"policy": {"saved_model": False}})
    trained = on_policy_step(settings, None, tmp_path / "policy", tmp_path / "checkpoints")
    policy = SavedPolicy.load(tmp_path / "policy")
    probabilities = policy.probabilities(np.random.default_rng(0).normal(size=(500, policy.manifest.dim)))
    assert settings.policy.exploration == 0.01
    assert probabilities.min() >= 0.005
    served = returns(chooses(policy, settings.task), settings.environment, 1, 50).undiscounted
    assert served.mean() == pytest.approx(trained.curve.final_average_return, rel=0.3)

    summary = write_training_report(settings, trained, tmp_path / "curve.json", tmp_path / "index.html")
    assert summary["final_average_return"] == trained.curve.final_average_return
    rows = json.loads((tmp_path / "curve.json").read_text())["loops"]
    assert rows == [loop.row() for loop in trained.curve.loops]
    page = (tmp_path / "index.html").read_text()
    assert all(f"<h2>{title}</h2>" in page for title in ("Episode length", "Entropy", "Policy loss", "Value loss"))
    assert "Regret" not in page
    assert f"{trained.curve.loops[-1].episodes} episodes with" in page


def test_a_few_loops_already_order_better_than_chance():
    """The short form of tests/benchmarks/sequential_online.py: on the same episodes, 5 standard errors."""
    settings = {"training_loops": 8, "steps_per_loop": 40, "batch_size": 64}
    trained = trained_policy({"name": "newsvendor"}, {"name": "ppo", "batch_size": 256}, settings, discount=1.0)
    gains = earned(trained, chooses(trained.policy, trained.config.task), 500) - earned(trained, uniformly, 500)
    assert gains.mean() > 5 * gains.std() / 500**0.5 > 0


def test_tensorboard_shows_the_measures_of_episodes():
    curve = simulate(config(training_loops=2))
    scalars = curve.scalars()
    names = "AverageReturn", "NumberOfEpisodes", "AverageEpisodeLength", "Entropy"
    assert scalars.keys() == {*(f"Metrics/{name}" for name in names), "Losses/policy_loss", "Losses/value_loss"}
    assert [step for step, _ in scalars["Metrics/Entropy"]] == [loop.interactions for loop in curve.loops]


def test_uniform_exploration_is_added_to_the_agents_own():
    curve = simulate(config(training_loops=3, exploration=1.0))
    assert [loop.measures["entropy"] for loop in curve.loops] == pytest.approx([np.log(2)] * 3)


def test_dqn_explores_less_and_less():
    agent = DQN(exploration_decisions=100)
    shares = [agent.exploration({"counts": np.array([count, 0])}) for count in (0, 50, 100, 1000)]
    assert shares == pytest.approx([1.0, 0.525, 0.05, 0.05])


def test_an_agent_that_learns_from_logs_only_is_refused():
    values = config().to_dict() | {"agent": {"name": Idle().name}}
    with pytest.raises(InvalidInput, match="Idle': learns from a log of episodes"):
        simulate(Config.parse(values))


def test_ppo_refuses_a_log():
    with pytest.raises(InvalidInput, match="'ppo': learns from episodes of its own policy, not from a log"):
        PPO().update(PPO().initial_statistics(2, 2), [])
