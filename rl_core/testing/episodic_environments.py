"""The conformance suite of environments of episodes."""

import math
from typing import Any, cast

import numpy as np

from banditloop.rl_core.environments import ENVIRONMENTS, Episodes, EpisodicEnvironment, Simulated, episode_seeds
from banditloop.rl_core.environments.history import chosen_actions
from banditloop.rl_core.environments.noise import step_uniforms
from banditloop.rl_core.events.contexts import Contexts, context_array, take
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.settings.task import MAX_CANDIDATES, Task
from banditloop.rl_core.testing.environments import check_features
from banditloop.rl_core.testing.sections import as_pipeline_parameter, assert_refused

EPISODES = 20
SEEDS = episode_seeds(0, 0, EPISODES)
Trace = list[tuple[Any, ...]]  # of an episode, by step: context, candidates, action, reward, terminal, truncated


class EpisodicEnvironmentConformance:
    """Checks that every environment of episodes must pass. A test file of yours subclasses it:

        class TestMine(EpisodicEnvironmentConformance):
            environment = MyEpisodes(name="my_package.environments:MyEpisodes", max_steps=20)

    The name is that by which a config chooses the environment; it must be importable where the tests run. Every check
    plays 20 episodes, or a few of them, to their end with random actions: settings with short ones make it quick.
    """

    environment: EpisodicEnvironment
    is_random: bool = True
    """Whether episodes of the same actions differ by their seeds."""

    def test_the_task_is_the_same_after_travelling_as_a_pipeline_parameter(self) -> None:
        assert Task.parse(as_pipeline_parameter(self.environment.task), "task") == self.environment.task

    def test_the_environment_is_the_same_after_travelling_as_a_pipeline_parameter(self) -> None:
        """Looked up by its name, as every component does in a process of its own."""
        values = as_pipeline_parameter(self.environment)
        received = cast(EpisodicEnvironment, registered(ENVIRONMENTS, Simulated, values, "environment"))
        assert received == self.environment
        assert received.task == self.environment.task
        assert traces(received, SEEDS) == traces(self.environment, SEEDS)

    def test_contexts_are_those_of_the_task(self) -> None:
        """At the start, after every step, and also after one that cut the episode off."""
        task, episodes = self.environment.task, self.environment.reset(SEEDS)
        is_observed = np.ones(EPISODES, bool)
        for step in range(self.environment.max_steps + 1):
            contexts = episodes.contexts
            assert set(task.context) & set(contexts) or not task.context
            assert {len(values) for values in contexts.values()} == {EPISODES}
            check_features(_rows(task, take(contexts, np.flatnonzero(is_observed))), task.context_type)
            steps = episodes.step(_actions(task, episodes, SEEDS, step))
            is_observed &= ~steps.terminal

    def test_candidates_are_actions_of_the_task(self) -> None:
        ids = self.environment.task.action_ids
        for trace in traces(self.environment, SEEDS):
            for _, candidates, *_ in trace:
                assert candidates or ids, "the task lists no actions: candidates must"
                assert len(set(candidates)) == len(candidates) <= MAX_CANDIDATES
                assert ids is None or set(candidates) <= set(ids)

    def test_rewards_are_in_the_tasks_range(self) -> None:
        low, high = self.environment.task.rewards
        assert -math.inf < low < high < math.inf
        earned = [reward for trace in traces(self.environment, SEEDS) for *_, reward, _, _ in trace]
        assert self.environment.task.rewards.contains(np.array(earned)).all()

    def test_episodes_end_by_max_steps_and_stay_over(self) -> None:
        """Either terminal or truncated, once; afterwards nothing is earned."""
        episodes, over = self.environment.reset(SEEDS), np.zeros(EPISODES, bool)
        for step in range(self.environment.max_steps + 2):
            steps = episodes.step(_actions(self.environment.task, episodes, SEEDS, step))
            assert {column.shape for column in steps} == {(EPISODES,)}
            assert steps.terminal.dtype == steps.truncated.dtype == bool
            assert not (steps.terminal & steps.truncated).any()
            assert not steps.ended[over].any()
            assert not steps.rewards[over].any()
            over |= steps.ended
            assert over.all() or step < self.environment.max_steps - 1

    def test_an_episode_is_the_same_whatever_others_it_is_started_with(self) -> None:
        together = traces(self.environment, SEEDS)
        assert traces(self.environment, SEEDS[::-1]) == together[::-1]
        for row in range(3):
            assert traces(self.environment, SEEDS[[row]]) == together[row : row + 1]

    def test_episodes_of_two_resets_do_not_affect_each_other(self) -> None:
        first, second = (self.environment.reset(SEEDS[:3]) for _ in range(2))
        for step in range(self.environment.max_steps):
            actions = _actions(self.environment.task, first, SEEDS[:3], step)
            for one, other in zip(first.step(actions), second.step(actions), strict=True):
                np.testing.assert_array_equal(one, other)

    def test_other_seeds_give_other_episodes(self) -> None:
        """With the same actions."""
        if self.is_random:
            others = traces(self.environment, episode_seeds(1, 0, EPISODES), SEEDS)
            assert others != traces(self.environment, SEEDS)

    def test_reward_scales_are_positive_and_stay_the_same_in_an_episode(self) -> None:
        episodes = self.environment.reset(SEEDS)
        first = self.environment.reward_scale(episodes.contexts)
        if first is not None:
            assert first.shape == (EPISODES,)
            assert (first > 0).all()
            steps = episodes.step(_actions(self.environment.task, episodes, SEEDS, 0))
            second = self.environment.reward_scale(episodes.contexts)
            np.testing.assert_array_equal(np.asarray(second)[~steps.terminal], first[~steps.terminal])

    def test_unknown_keys_are_refused_in_one_line(self) -> None:
        assert_refused(self.environment, "no_such_key", 1, "environment")


def traces(environment: EpisodicEnvironment, seeds: np.ndarray, action_seeds: np.ndarray | None = None) -> list[Trace]:
    """The traces of the episodes of these seeds, with random actions drawn from `action_seeds` or else from `seeds`."""
    task, episodes = environment.task, environment.reset(seeds)
    result: list[Trace] = [[] for _ in seeds]
    running = np.arange(len(seeds))
    for step in range(environment.max_steps):
        rows, candidates = _rows(task, episodes.contexts), episodes.candidates()
        actions = _actions(task, episodes, seeds if action_seeds is None else action_seeds, step)
        steps = episodes.step(actions)
        outcomes = list(zip(*(column.tolist() for column in steps), strict=True))
        for row in running:
            result[row].append((rows[row], (candidates or [[]] * len(seeds))[row], actions[row], *outcomes[row]))
        running = running[~steps.ended[running]]
    return result


def _actions(task: Task, episodes: Episodes, seeds: np.ndarray, step: int) -> np.ndarray:
    listed = episodes.candidates() or [list(task.action_ids or ())] * len(seeds)
    uniforms = step_uniforms(seeds, step).tolist()
    return chosen_actions(task, [ids[int(uniform * len(ids))] for ids, uniform in zip(listed, uniforms, strict=True)])


def _rows(task: Task, contexts: Contexts) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = context_array(task, contexts).to_pylist()
    return rows
