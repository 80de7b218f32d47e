"""Episodes played step by step, all running ones at a time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.environments.episodic import Episodes, EpisodicEnvironment, Steps
from banditloop.rl_core.environments.history import chosen_actions
from banditloop.rl_core.environments.noise import step_uniforms
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.contexts import Contexts, context_array, take
from banditloop.rl_core.policies.saved_policy import Decisions, SavedPolicy, draw_actions
from banditloop.rl_core.settings.task import Task

Choose = Callable[[Contexts, Candidates, np.ndarray], Decisions]
"""Decides for contexts of R episodes, among candidates, by numbers in [0, 1) that select the actions: uniforms [R]."""


class Played(NamedTuple):
    """A step of the R episodes that had not ended before it.

    episodes: their positions among those that were started, [R], ascending. step: its number, from 0 on. contexts,
    candidates and decisions: what was observed and chosen. outcome: its rewards and ends. next_contexts: what was
    observed after it; in an episode that it cut off, the context of the decision that would have come next.
    """

    episodes: np.ndarray
    step: int
    contexts: Contexts
    candidates: Candidates
    decisions: Decisions
    outcome: Steps
    next_contexts: Contexts


def play(
    environment: EpisodicEnvironment, seeds: np.ndarray, choose: Choose, max_steps: int | None = None
) -> Iterator[Played]:
    """The steps of the episodes of these seeds, uint64 [B], until all are over.

    An episode depends on its seed and on `choose` alone: its actions, too, are drawn by its seed. max_steps: steps
    after which episodes are cut off; the environment's own limit if that is less, or if not given.
    """
    limit = step_limit(environment, max_steps)
    task, episodes = environment.task, environment.reset(seeds)
    running, contexts = np.arange(len(seeds)), episodes.contexts
    for step in range(limit):
        if not len(running):
            return
        candidates = running_candidates(environment, task, episodes, running)
        decisions = choose(contexts, candidates, step_uniforms(seeds[running], step))
        actions = chosen_actions(task, list(candidates.ids))[decisions.actions]
        outcome = take_step(episodes, running, actions, len(seeds), is_last=step == limit - 1)
        following = episodes.contexts if len(running) == len(seeds) else take(episodes.contexts, running)
        yield Played(running, step, contexts, candidates, decisions, outcome, following)
        if outcome.ended.any():
            goes_on = np.flatnonzero(~outcome.ended)
            running, following = running[goes_on], take(following, goes_on)
        contexts = following


def running_candidates(
    environment: EpisodicEnvironment, task: Task, episodes: Episodes, running: np.ndarray
) -> Candidates:
    """The candidates in each of the running episodes; running: their positions [R] among those that were started."""
    listed = episodes.candidates()
    if listed is not None:
        return Candidates.of_lists([listed[row] for row in running])
    if task.action_ids is None:
        raise InvalidInput(f"environment.name = {environment.name!r}: neither its task nor its candidates list actions")
    return Candidates(task.action_ids)


def step_limit(environment: EpisodicEnvironment, max_steps: int | None) -> int:
    """The number of steps after which episodes are cut off."""
    return environment.max_steps if max_steps is None else min(max_steps, environment.max_steps)


def take_step(episodes: Episodes, running: np.ndarray, actions: np.ndarray, started: int, is_last: bool) -> Steps:
    """The outcome of the actions [R] in the running episodes, which are some or all of those that were started.

    is_last: whether those that have not ended are cut off with it.
    """
    if len(running) < started:
        all_actions = np.full(started, actions[0], actions.dtype)  # episodes that are over ignore theirs
        all_actions[running] = actions
        steps = Steps(*(column[running] for column in episodes.step(all_actions)))
    else:
        steps = episodes.step(actions)
    return steps._replace(truncated=~steps.terminal) if is_last else steps


def uniformly(contexts: Contexts, candidates: Candidates, uniforms: np.ndarray) -> Decisions:
    """Choices of the random policy: every candidate is equally likely."""
    mask = candidates.mask(len(uniforms))
    return draw_actions(mask / mask.sum(axis=1, keepdims=True), uniforms)


def chooses(policy: SavedPolicy | None, task: Task) -> Choose:
    """How a policy chooses; None: the random one."""
    if policy is None:
        return uniformly
    return lambda contexts, candidates, uniforms: policy.decide(
        policy.observations(context_array(task, contexts)), uniforms, candidates
    )


def greedily(policy: SavedPolicy, task: Task) -> Choose:
    """How a policy chooses if it always takes the action that it expects the most of."""
    return lambda contexts, candidates, uniforms: draw_actions(
        policy.greedy_probabilities(policy.observations(context_array(task, contexts)), candidates), uniforms
    )
