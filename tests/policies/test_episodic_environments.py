"""Every built-in environment of episodes passes the conformance suite and is the problem that it says it is."""

import numpy as np
import pytest

from banditloop.rl_core.environments import episode_seeds
from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.environments.newsvendor import ECONOMICS, MULTIPLES, STOCK, Newsvendor
from banditloop.rl_core.testing.episodic_environments import EpisodicEnvironmentConformance

TESTED = {
    "cartpole": CartPole(max_steps=30),
    "newsvendor": Newsvendor(),
    "newsvendor with its step": Newsvendor(max_steps=8, step_observed=True),
}


class TestBuiltInEpisodes(EpisodicEnvironmentConformance):
    @pytest.fixture(autouse=True, params=TESTED.values(), ids=TESTED)
    def every_environment(self, request):
        self.environment = request.param


class TestNewsvendor:
    def test_stock_and_rewards_are_those_of_its_description(self):
        """Played again with plain numbers, one unit of stock after another."""
        episodes, random = Newsvendor(step_observed=True).reset(episode_seeds(0, 0, 1)), np.random.default_rng(0)
        held = [0.0] * 5
        for step in range(40):
            contexts = {name: float(values[0]) for name, values in episodes.contexts.items()}
            assert [contexts[name] for name in STOCK] == pytest.approx(held)
            assert contexts["step"] == step
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
