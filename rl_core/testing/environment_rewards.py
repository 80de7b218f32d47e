"""The conformance suite of environments' rewards, which EnvironmentConformance includes."""

import math

import numpy as np

from banditloop.rl_core.environments import Environment
from banditloop.rl_core.environments.environment import known_rewards
from banditloop.rl_core.environments.history import chosen_actions
from banditloop.rl_core.events.contexts import Contexts, take

ROWS = 20_000  # rewards that are compared with their expectation
ERROR = 1e-5  # probability that one comparison fails by chance; the draws are seeded
Events = tuple[Contexts, np.ndarray, list[str]]  # contexts, actions and event ids


class RewardConformance:
    """Checks of an environment's rewards, and of their delays and expectations where it has them."""

    environment: Environment
    max_outside_range: float = 1e-6
    """Mean distance by which expected rewards may lie outside the task's range, as a fraction of the range's span."""

    def test_reward_is_a_pure_function_of_context_action_and_event_id(self) -> None:
        contexts, actions, event_ids = self._events(50)
        rewards = self.environment.reward(contexts, actions, event_ids)
        assert rewards.shape == (50,)
        assert np.isfinite(rewards).all()
        np.testing.assert_array_equal(rewards, self.environment.reward(contexts, actions, event_ids))
        order = np.random.default_rng(3).permutation(50)
        again = self.environment.reward(take(contexts, order), actions[order], [event_ids[row] for row in order])
        np.testing.assert_array_equal(rewards[order], again)
        rows = [np.array([row]) for row in range(50)]
        alone = [self.environment.reward(take(contexts, row), actions[row], [event_ids[row[0]]])[0] for row in rows]
        np.testing.assert_allclose(rewards, alone, rtol=1e-6, atol=1e-9)

    def test_delays_are_a_pure_function_of_event_ids(self) -> None:
        event_ids = [f"event-{row}" for row in range(50)]
        delays = self.environment.delays(event_ids)
        if delays is None:
            return
        assert delays.shape == (50,)
        assert (delays >= 0).all() and np.isfinite(delays).all()
        np.testing.assert_array_equal(delays[::-1], self.environment.delays(event_ids[::-1]))

    def test_expected_rewards_have_a_value_in_range_for_every_context_and_action(self) -> None:
        expected, population = self.environment.expected_rewards(), self.environment.population()
        if expected is None:
            return
        assert population is not None, "expected rewards are those of the population, which must be given too"
        size, low, high = len(next(iter(population.values()))), *self.environment.task.rewards
        assert expected.shape == (size, len(self.environment.task.action_ids or ()))
        assert np.isfinite(expected).all()
        assert np.abs(expected - expected.clip(low, high)).mean() <= self.max_outside_range * (high - low)

    def test_rewards_of_one_context_and_action_average_to_the_expected_reward(self) -> None:
        if self.environment.expected_rewards() is not None:
            zeros = np.zeros(ROWS, int)
            self._assert_unbiased(zeros, zeros)

    def test_rewards_of_every_action_average_to_the_expected_rewards(self) -> None:
        expected = self.environment.expected_rewards()
        if expected is not None:
            contexts, actions = (np.random.default_rng(1).integers(size, size=ROWS) for size in expected.shape)
            self._assert_unbiased(contexts, np.random.default_rng(2).permutation(actions))

    def _observe(self, rows: int, seed: int) -> Contexts:
        return self.environment.observe(rows, np.random.default_rng(seed))

    def _events(self, rows: int) -> Events:
        contexts, random = self._observe(rows, seed=1), np.random.default_rng(2)
        ids = self.environment.task.action_ids
        candidates = self.environment.candidates(contexts, random) or [list(ids or ())] * rows
        chosen = [listed[random.integers(len(listed))] for listed in candidates]
        return contexts, chosen_actions(self.environment.task, chosen), [f"event-{row}" for row in range(rows)]

    def _assert_unbiased(self, rows: np.ndarray, actions: np.ndarray) -> None:
        """Rewards in contexts of the population [B] of actions [B] have their expected mean, action by action."""
        task, event_ids = self.environment.task, [f"event-{row}" for row in range(len(rows))]
        chosen = chosen_actions(task, [(task.action_ids or ())[action] for action in actions])
        errors = self.environment.reward(take(self.environment.population() or {}, rows), chosen, event_ids)
        errors = errors - known_rewards(self.environment)[rows, actions]
        for action in np.unique(actions):
            of_action = errors[actions == action]
            assert abs(of_action.mean()) <= _deviation_bound(of_action, task.rewards.span), f"{action = }"


def _deviation_bound(values: np.ndarray, span: float) -> float:
    """The empirical Bernstein bound on |mean - expectation| (Audibert, Munos, Szepesvári 2009), and rounding."""
    log_term = math.log(3 / ERROR) / len(values)
    return math.sqrt(2 * float(values.var()) * log_term) + 3 * span * log_term + 1e-9 * span
