"""The conformance suite of environments."""

import math

import numpy as np
import pytest

from banditloop.rl_core.environments import ENVIRONMENTS, Environment
from banditloop.rl_core.events.observations import check_observations
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.testing.sections import as_pipeline_parameter, assert_refused

ROWS = 20_000  # rewards that are compared with their expectation
ERROR = 1e-5  # probability that one comparison fails by chance; the draws are seeded


class EnvironmentConformance:
    """Checks that every environment must pass. A test file of yours subclasses it:

        class TestMine(EnvironmentConformance):
            environment = MyEnvironment(name="my_package.environments:MyEnvironment")

    The name is that by which a config chooses the environment; it must be importable where the tests run.
    """

    environment: Environment
    max_outside_range: float = 1e-6
    """Mean distance by which expected rewards may lie outside reward_range, as a fraction of the range's span."""

    def test_dim_and_actions_are_counts(self) -> None:
        assert isinstance(self.environment.dim, int)
        assert isinstance(self.environment.actions, int)
        assert self.environment.dim >= 1
        assert self.environment.actions >= 2

    def test_reward_range_is_finite_and_not_empty(self) -> None:
        low, high = self.environment.reward_range
        assert -math.inf < low < high < math.inf

    def test_population_is_a_float32_array_of_valid_observations(self) -> None:
        population = self.environment.population()
        assert population.dtype == np.float32
        assert population.ndim == 2
        assert len(population) >= 1
        check_observations(population, self.environment.dim)

    def test_expected_rewards_have_a_value_in_range_for_every_user_and_action(self) -> None:
        expected, rewards = self.environment.expected_rewards(), self.environment.reward_range
        assert expected.shape == (len(self.environment.population()), self.environment.actions)
        assert np.isfinite(expected).all()
        outside = np.abs(expected - expected.clip(rewards.low, rewards.high)).mean()
        assert outside <= self.max_outside_range * rewards.span

    def test_observations_are_drawn_from_the_population_by_the_generator(self) -> None:
        observed = self._observe(50, seed=0)
        assert observed.dtype == np.float32
        assert observed.shape == (50, self.environment.dim)
        users = {row.tobytes() for row in self.environment.population()}
        assert {row.tobytes() for row in observed} <= users
        np.testing.assert_array_equal(observed, self._observe(50, seed=0))
        if len(users) > 1:
            assert any((observed != self._observe(50, seed=seed)).any() for seed in range(1, 10))

    def test_reward_is_a_pure_function_of_observation_action_and_event_id(self) -> None:
        observed, actions, event_ids = self._events(50)
        rewards = self.environment.reward(observed, actions, event_ids)
        assert rewards.shape == (50,)
        assert np.isfinite(rewards).all()
        np.testing.assert_array_equal(rewards, self.environment.reward(observed, actions, event_ids))
        order = np.random.default_rng(3).permutation(50)
        again = self.environment.reward(observed[order], actions[order], [event_ids[row] for row in order])
        np.testing.assert_array_equal(rewards[order], again)
        alone = [self.environment.reward(observed[[row]], actions[[row]], [event_ids[row]])[0] for row in range(50)]
        np.testing.assert_allclose(rewards, alone, rtol=1e-6, atol=1e-9)

    def test_rewards_of_one_user_and_action_average_to_the_expected_reward(self) -> None:
        zeros = np.zeros(ROWS, int)
        self._assert_unbiased(zeros, zeros)

    def test_rewards_of_every_action_average_to_the_expected_rewards(self) -> None:
        random = np.random.default_rng(1)
        users = random.integers(len(self.environment.population()), size=ROWS)
        self._assert_unbiased(users, random.integers(self.environment.actions, size=ROWS))

    def test_the_environment_is_the_same_after_travelling_as_a_pipeline_parameter(self) -> None:
        """Looked up by its name, as every component does in a process of its own."""
        received = registered(ENVIRONMENTS, Environment, as_pipeline_parameter(self.environment), "environment")
        assert received == self.environment
        assert (received.dim, received.actions) == (self.environment.dim, self.environment.actions)
        assert received.reward_range == self.environment.reward_range
        np.testing.assert_array_equal(received.population(), self.environment.population())
        np.testing.assert_array_equal(received.expected_rewards(), self.environment.expected_rewards())
        events = self._events(50)
        np.testing.assert_array_equal(received.reward(*events), self.environment.reward(*events))

    def test_unknown_keys_are_refused_in_one_line(self) -> None:
        assert_refused(self.environment, "no_such_key", 1, "environment")

    def test_tf_agents_accepts_its_adapter(self) -> None:
        pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError)
        utils = pytest.importorskip("tf_agents.environments.utils")
        from banditloop.rl_core.environments.tf_environment import PyEnvironment

        utils.validate_py_environment(PyEnvironment(self.environment, batch_size=8, seed=0), episodes=3)

    def _observe(self, rows: int, seed: int) -> np.ndarray:
        return self.environment.observe(rows, np.random.default_rng(seed))

    def _events(self, rows: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        actions = np.random.default_rng(2).integers(self.environment.actions, size=rows)
        return self._observe(rows, seed=1), actions, [f"event-{row}" for row in range(rows)]

    def _assert_unbiased(self, users: np.ndarray, actions: np.ndarray) -> None:
        """Rewards of pairs of users [B] and actions [B] have their expected mean, for each action by itself."""
        observed, event_ids = self.environment.population()[users], [f"event-{row}" for row in range(len(users))]
        errors = self.environment.reward(observed, actions, event_ids)
        errors = errors - self.environment.expected_rewards()[users, actions]
        for action in np.unique(actions):
            chosen = errors[actions == action]
            assert abs(chosen.mean()) <= _deviation_bound(chosen, self.environment.reward_range.span), f"{action = }"


def _deviation_bound(values: np.ndarray, span: float) -> float:
    """The empirical Bernstein bound on |mean - expectation| (Audibert, Munos, Szepesvári 2009), and rounding."""
    log_term = math.log(3 / ERROR) / len(values)
    return math.sqrt(2 * float(values.var()) * log_term) + 3 * span * log_term + 1e-9 * span
