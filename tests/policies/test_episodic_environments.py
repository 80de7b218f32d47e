"""Every built-in environment of episodes passes the conformance suite and is the problem that it says it is."""

import numpy as np
import pytest

from banditloop.rl_core.environments import EpisodicEnvironment, configured, configured_episodic, episode_seeds
from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.environments.gymnasium_episodes import GymnasiumEpisodes
from banditloop.rl_core.environments.linear import Linear
from banditloop.rl_core.environments.newsvendor import ECONOMICS, MULTIPLES, STOCK, Newsvendor
from banditloop.rl_core.environments.tf_agents_episodes import TFAgentsEpisodes
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.saved_policy import draw_actions
from banditloop.rl_core.rollouts import play, uniformly
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.episodic_environments import EpisodicEnvironmentConformance

TESTED = {
    "cartpole": CartPole(max_steps=30),
    "newsvendor": Newsvendor(),
    "newsvendor with its step": Newsvendor(max_steps=8, step_observed=True),
    "gymnasium": GymnasiumEpisodes(id="CartPole-v1", max_steps=15),
    "gymnasium's numbers": GymnasiumEpisodes(id="FrozenLake-v1", max_steps=10),
    "gymnasium's vectors": GymnasiumEpisodes(
        id="Pendulum-v1", max_steps=8, action_grid=[[-2.0], [0.0], [1.0], [2.0]], reward_range=[-16.3, 0.0]
    ),
    "tf_agents": TFAgentsEpisodes(factory=f"{__name__}:cartpole_of_tf_agents", arguments={"max_steps": 12}),
    "tf_agents without seeds": TFAgentsEpisodes(factory=f"{__name__}:unseeded_of_tf_agents", max_steps=8),
}
SEEDS = episode_seeds(0, 0, 3)
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # in TF-Agents' array_spec


def cartpole_of_tf_agents(max_steps):
    """Our own, in both adapters."""
    from banditloop.rl_core.environments.tf_episodic_environment import EpisodicPyEnvironment

    return EpisodicPyEnvironment(CartPole(max_steps=max_steps), seed=0)


def unseeded_of_tf_agents():
    """One that cannot be seeded and draws from NumPy's global generator."""
    from tf_agents.environments import random_py_environment
    from tf_agents.specs import array_spec

    class Unseeded(random_py_environment.RandomPyEnvironment):
        def seed(self, seed):
            raise NotImplementedError

    observation = array_spec.BoundedArraySpec((3,), np.float32, -1, 1)
    rewards, actions = (lambda *_: np.random.random()), array_spec.BoundedArraySpec((), np.int64, 1, 3)
    return Unseeded(observation, actions, 0.2, reward_fn=rewards, seed=np.random.randint(2**31))


class TestBuiltInEpisodes(EpisodicEnvironmentConformance):
    @pytest.fixture(autouse=True, params=TESTED.values(), ids=TESTED)
    def every_environment(self, request):
        self.environment = request.param


def test_a_part_for_the_other_kind_of_environment_is_refused_in_one_line():
    with pytest.raises(
        InvalidInput, match=r"^environment\.name = 'cartpole': is sequential; tuning needs single decis"
    ):
        configured(CartPole(), "tuning")
    with pytest.raises(
        InvalidInput, match=r"^environment\.name = 'linear': has no episodes; PPO needs a sequential one$"
    ):
        configured_episodic(Linear(), "PPO")
    with pytest.raises(InvalidInput, match=r"^environment: is missing; PPO needs one$"):
        configured_episodic(None, "PPO")


class TestNewsvendor:
    def test_stock_and_rewards_are_those_of_its_description(self):
        """Played again with plain numbers, one unit of stock after another."""
        episodes, random = Newsvendor(step_observed=True).reset(episode_seeds(0, 0, 1)), np.random.default_rng(0)
        held = [0.0] * 5
        for step in range(40):
            contexts = {name: float(values[0]) for name, values in episodes.contexts.items()}
            assert [contexts[name] for name in STOCK] == pytest.approx(held)
            assert contexts["period"] == step
            action = random.integers(len(MULTIPLES))
            order = MULTIPLES[action] * contexts["mean_demand"]
            [reward], _, [truncated] = episodes.step(np.array([action]))
            after = episodes.contexts["on_hand"][0] - held[1]  # before what arrives
            sold = held[0] - after
            paid = contexts["price"] * sold - contexts["cost"] * order - contexts["holding_cost"] * after
            lost = (paid - reward) / contexts["lost_sale_penalty"]
            assert sold + lost == pytest.approx(round(sold + lost), abs=1e-6), "the demand is a whole number"
            assert min(lost, after) == pytest.approx(0, abs=1e-6), "sales are lost only when nothing is left"
            assert truncated == (step == 39)
            held = [after + held[1], *held[2:], order]

    def test_what_is_drawn_is_in_its_range_and_has_its_mean(self):
        drawn = Newsvendor().reset(episode_seeds(0, 0, 4_000)).contexts
        means = {name: np.mean(drawn[name]) for name in ECONOMICS}
        expected = {"price": 50, "cost": 25, "lost_sale_penalty": 5, "mean_demand": 100}
        for name, mean in expected.items():  # their standard deviations are at most .9 of it; four standard errors
            assert means[name] == pytest.approx(mean, rel=4 * 0.9 / np.sqrt(4_000))
        assert (drawn["cost"] <= drawn["price"]).all()
        assert (drawn["holding_cost"] <= np.minimum(drawn["cost"], 5)).all()

    def test_ordering_the_mean_demand_beats_no_orders_and_larger_ones(self):
        """On the same 1,000 episodes. Without orders all demand is lost: -40 × the mean penalty × the mean demand."""
        earned = {multiple: self.play(multiple) for multiple in (0.0, 1.0, 1.5)}
        error = earned[0.0].std() / np.sqrt(1_000)
        assert earned[0.0].mean() == pytest.approx(-20_000, abs=4 * error)
        for other in (0.0, 1.5):
            difference = earned[1.0] - earned[other]
            assert difference.mean() > 5 * difference.std() / np.sqrt(1_000)

    def play(self, multiple):
        episodes = Newsvendor().reset(episode_seeds(0, 0, 1_000))
        actions = np.full(1_000, np.flatnonzero(multiple == MULTIPLES)[0])
        return sum(episodes.step(actions).rewards for _ in range(40))

    def test_its_scale_is_the_mean_sales(self):
        environment = Newsvendor()
        contexts = environment.reset(episode_seeds(0, 0, 3)).contexts
        expected = contexts["price"] * contexts["mean_demand"] + 5
        np.testing.assert_array_equal(environment.reward_scale(contexts), expected)


class TestGymnasium:
    def test_its_cartpole_is_ours(self):
        """Observations, rewards and ends, with Gymnasium's own limit of 500 steps."""
        theirs, ours = GymnasiumEpisodes(id="CartPole-v1"), CartPole(max_steps=500)
        for one, other in zip(*(play(part, episode_seeds(0, 0, 5), uniformly) for part in (theirs, ours)), strict=True):
            observed = np.column_stack(list(other.contexts.values()))
            np.testing.assert_array_equal(one.contexts["observation"], observed)
            for mine, yours in zip(one.outcome, other.outcome, strict=True):
                np.testing.assert_array_equal(mine, yours)

    def test_gymnasiums_own_limit_cuts_episodes_off(self):
        steps = [*play(GymnasiumEpisodes(id="CartPole-v1", arguments={"max_episode_steps": 3}), SEEDS, uniformly)]
        assert len(steps) == 3
        assert steps[-1].outcome.truncated.all()

    def test_actions_are_those_of_the_grid(self):
        """The pendulum's cost of a torque is .001 times its square."""
        environment = TESTED["gymnasium's vectors"]
        earned = [environment.reset(SEEDS).step(np.full(len(SEEDS), action)).rewards for action in range(4)]
        np.testing.assert_allclose(earned[1] - earned[0], 0.004, atol=1e-9)
        np.testing.assert_allclose(earned[1] - earned[2], 0.001, atol=1e-9)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"id": "NoSuch-v0"}, r"environment\.id = 'NoSuch-v0'"),
            ({"id": "Pendulum-v1"}, r"environment\.action_grid: is missing; give some of the actions of Pendulum-v1"),
            ({"id": "Pendulum-v1", "action_grid": [[0.0], [3.0]]}, r"\[3\.0\] is no action of Pendulum-v1: Box"),
            ({"id": "Pendulum-v1", "action_grid": [[0.0], [1.0, 1.0]]}, r"\[1\.0, 1\.0\] is no action"),
            ({"id": "CartPole-v1", "action_grid": [[0.0], [1.0]]}, "actions are discrete: .* omit it"),
        ],
    )
    def test_wrong_settings_are_refused(self, settings, message):
        with pytest.raises(InvalidInput, match=message) as error:
            GymnasiumEpisodes.parse(settings, "environment").task  # noqa: B018
        assert "\n" not in str(error.value)


class TestTFAgents:
    @pytest.mark.parametrize("name", ["cartpole", "newsvendor with its step", "gymnasium's numbers"])
    def test_ours_is_a_valid_environment_of_tf_agents(self, name):
        from banditloop.rl_core.environments.tf_episodic_environment import EpisodicPyEnvironment

        # isort: split
        from tf_agents.environments import batched_py_environment, utils

        adapters = [EpisodicPyEnvironment(TESTED[name], seed) for seed in range(2)]
        utils.validate_py_environment(batched_py_environment.BatchedPyEnvironment(adapters), episodes=3)

    def test_ends_and_limits_are_told_apart_in_both_directions(self):
        """A pole that falls is the end, with the discount 0; after the limit, the discount is 1."""
        from banditloop.rl_core.environments.tf_episodic_environment import EpisodicPyEnvironment

        for max_steps, discount in ((200, 0.0), (5, 1.0)):
            theirs = EpisodicPyEnvironment(CartPole(max_steps=max_steps), seed=0)
            step = theirs.reset()
            while not step.is_last():
                step = theirs.step(np.int32(0))
            assert float(step.discount) == discount
            environment = TFAgentsEpisodes(
                factory=f"{__name__}:cartpole_of_tf_agents", arguments={"max_steps": max_steps}
            )
            *_, last = play(environment, SEEDS, lambda *asked: draw_actions(np.eye(2)[[0] * len(asked[2])], asked[2]))
            assert last.outcome.truncated.all() == bool(discount)

    def test_one_without_numbers_is_refused(self):
        from banditloop.rl_core.environments.tf_episodic_environment import EpisodicPyEnvironment

        with pytest.raises(InvalidInput, match="TF-Agents needs numbers or vectors and a number of actions"):
            EpisodicPyEnvironment(Named(name="named", max_steps=1), seed=0)

    @pytest.mark.parametrize(
        ("factory", "message"),
        [
            (f"{__name__}:no_such_factory", "has no attribute 'no_such_factory'; give module:function"),
            ("builtins:dict", "returns no PyEnvironment of one episode at a time"),
        ],
    )
    def test_a_wrong_factory_is_refused(self, factory, message):
        with pytest.raises(InvalidInput, match=message):
            TFAgentsEpisodes(factory=factory).task  # noqa: B018


class Named(EpisodicEnvironment):
    """Its only feature is a category."""

    name: str

    @property
    def task(self):
        return Task.parse({"actions": 2, "context": {"weather": "category"}})

    def reset(self, seeds):
        raise NotImplementedError
