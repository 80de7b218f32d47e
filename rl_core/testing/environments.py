"""The conformance suite of environments."""

import math
from typing import Any, cast

import numpy as np
import orjson
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from banditloop.rl_core.environments import ENVIRONMENTS, Environment
from banditloop.rl_core.environments.history import simulated_history
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts, context_array, context_rows
from banditloop.rl_core.events.json_format import decode, encode, stored_features_type
from banditloop.rl_core.events.schema import REWARD, decision_schema
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.settings.task import MAX_CANDIDATES, Task
from banditloop.rl_core.testing.environment_rewards import RewardConformance
from banditloop.rl_core.testing.sections import as_pipeline_parameter, assert_refused


class EnvironmentConformance(RewardConformance):
    """Checks that every environment must pass. A test file of yours subclasses it:

        class TestMine(EnvironmentConformance):
            environment = MyEnvironment(name="my_package.environments:MyEnvironment")

    The name is that by which a config chooses the environment; it must be importable where the tests run. What an
    environment need not have (population, expected rewards, candidates, delays, action features) is checked where it
    has it.
    """

    def test_the_task_is_the_same_after_travelling_as_a_pipeline_parameter(self) -> None:
        assert Task.parse(as_pipeline_parameter(self.environment.task), "task") == self.environment.task

    def test_reward_range_is_finite_and_not_empty(self) -> None:
        low, high = self.environment.task.rewards
        assert -math.inf < low < high < math.inf

    def test_observed_contexts_are_those_of_the_task(self) -> None:
        observed = self._observe(50, seed=0)
        self._assert_contexts(observed, 50)
        population = self.environment.population()
        if population is not None:
            size = len(next(iter(population.values())))
            assert size >= 1
            self._assert_contexts(population, size)
            assert set(self._rows(observed)) <= set(self._rows(population))

    def test_contexts_are_drawn_by_the_generator(self) -> None:
        """Two equal environments draw equal contexts with equal generators, and others with others."""
        observed = self._rows(_copy(self.environment).observe(50, np.random.default_rng(0)))
        assert observed == self._rows(_copy(self.environment).observe(50, np.random.default_rng(0)))
        population = self.environment.population()
        if population is None or len(set(self._rows(population))) > 1:
            assert any(observed != self._rows(self._observe(50, seed=seed)) for seed in range(1, 10))

    def test_simulated_events_are_valid(self) -> None:
        """Those of the generator, with candidates and features as the environment gives them."""
        schema = decision_schema(self.environment.task)
        for decisions, rewards in simulated_history(self.environment, 50, "reward", seed=0):
            assert decode(schema, encode(decisions)).num_rows == 50
            assert decode(REWARD, encode(rewards)).num_rows == 50

    def test_candidates_are_actions_and_drawn_by_the_generator(self) -> None:
        contexts, ids = self._observe(50, seed=0), self.environment.task.action_ids
        candidates = self.environment.candidates(contexts, np.random.default_rng(0))
        if candidates is None:
            assert ids is not None, "the task lists no actions: candidates must"
            return
        assert len(candidates) == 50
        assert candidates == self.environment.candidates(contexts, np.random.default_rng(0))
        for listed in candidates:
            assert 1 <= len(listed) == len(set(listed)) <= MAX_CANDIDATES
            assert ids is None or set(listed) <= set(ids)

    def test_action_features_are_those_of_the_task(self) -> None:
        features, task = self.environment.action_features(), self.environment.task
        if features is None:
            return
        assert task.action_features
        assert len(features) == len(task.action_ids or ())
        check_features(features, task.candidate_type)

    def test_the_environment_is_the_same_after_travelling_as_a_pipeline_parameter(self) -> None:
        """Looked up by its name, as every component does in a process of its own."""
        received = _copy(self.environment)
        assert received == self.environment
        assert received.task == self.environment.task
        contexts, actions, event_ids = self._events(50)
        rewards = self.environment.reward(contexts, actions, event_ids)
        np.testing.assert_array_equal(received.reward(contexts, actions, event_ids), rewards)
        expected = self.environment.expected_rewards()
        if expected is not None:
            np.testing.assert_array_equal(received.expected_rewards(), expected)

    def test_unknown_keys_are_refused_in_one_line(self) -> None:
        assert_refused(self.environment, "no_such_key", 1, "environment")

    def test_tf_agents_accepts_its_adapter(self) -> None:
        """That of an environment with one vector and numbered actions; others are refused."""
        pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError)
        utils = pytest.importorskip("tf_agents.environments.utils")
        from banditloop.rl_core.environments.tf_environment import PyEnvironment

        if self.environment.task.plain and self.environment.task.numbered:
            utils.validate_py_environment(PyEnvironment(self.environment, batch_size=8, seed=0), episodes=3)
        else:
            with pytest.raises(InvalidInput, match="one vector and a number of actions"):
                PyEnvironment(self.environment, batch_size=8, seed=0)

    def _rows(self, contexts: Contexts) -> list[bytes]:
        """The contexts as policies see them, as comparable rows."""
        seen = {name: contexts[name] for name in self.environment.task.context if name in contexts}
        return [orjson.dumps(row) for row in context_rows(seen)]

    def _assert_contexts(self, contexts: Contexts, rows: int) -> None:
        """Contexts are valid features of the task [rows]."""
        task = self.environment.task
        assert set(task.context) & set(contexts) or not task.context
        array = context_array(task, contexts)
        assert {len(values) for values in contexts.values()} == {len(array)} == {rows}
        check_features(array.to_pylist(), task.context_type)
        if task.plain:
            assert np.asarray(contexts[task.plain]).dtype == np.float32
            lengths = {len(vector) for vector in contexts[task.plain]}
            assert lengths == {task.context[task.plain].vector}  # type: ignore[union-attr]


def check_features(rows: list[dict[str, Any]], kinds: pa.StructType) -> None:
    """Raise pydantic.ValidationError unless all rows are features of these kinds, within the bounds of events."""
    row = TypeAdapter(stored_features_type(kinds))
    for features in rows:
        row.validate_python(features)


def _copy(environment: Environment) -> Environment:
    """An equal environment, parsed from the values of a pipeline parameter."""
    return cast(Environment, registered(ENVIRONMENTS, Environment, as_pipeline_parameter(environment), "environment"))
