"""Episodes that a model plays, as agents learn from them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.agents import Model, Transitions
from banditloop.rl_core.agents.transitions import joined
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.contexts import Contexts, context_array, take
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.saved_policy import Decisions, draw_actions
from banditloop.rl_core.rollouts import Played
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.training.on_policy.vectorised import explored


class PlayedEpisodes(NamedTuple):
    """Episodes, numbered from 0 on, and what they earned.

    returns: sums of rewards, without discounts and scale [E]. entropies: of the probabilities that each decision was
    drawn by, in nats [B].
    """

    transitions: Transitions
    returns: np.ndarray
    entropies: np.ndarray


def all_of(batches: Sequence[PlayedEpisodes]) -> PlayedEpisodes:
    """The episodes of several batches, at least one, numbered anew."""
    if len(batches) == 1:
        return batches[0]
    transitions, returns, entropies = zip(*batches, strict=True)
    return PlayedEpisodes(joined(transitions), np.concatenate(returns), np.concatenate(entropies))


class Recorder:
    """Decides by a model, with a share of decisions drawn uniformly, and records the steps."""

    def __init__(self, task: Task, encoding: Encoding, model: Model, exploration: float) -> None:
        self._task, self._encoding, self._model, self._exploration = task, encoding, model, exploration
        self._columns: dict[str, list[np.ndarray]] = defaultdict(list)

    def choose(self, contexts: Contexts, candidates: Candidates, uniforms: np.ndarray) -> Decisions:
        """Decide: the argument `choose` of `rollouts.play`."""
        observations, count = self._observations(contexts), len(uniforms)
        positions = np.array([self._encoding.index[action] for action in candidates.ids])
        eligible = np.zeros((count, len(self._encoding.action_ids)), bool)
        eligible[:, positions] = candidates.mask(count)
        learned = self._model.probabilities(observations, None if eligible.all() else eligible)
        probabilities = explored(learned, self._exploration, eligible)
        decisions = draw_actions(probabilities[:, positions], uniforms)
        self._add(
            observations=observations,
            actions=positions[decisions.actions],
            propensities=decisions.propensities,
            eligible=eligible,
            entropies=-(probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0))).sum(axis=1),
        )
        return decisions

    def add(self, step: Played) -> None:
        """Record the outcome of the latest decisions."""
        ended = np.flatnonzero(step.outcome.ended)
        self._add(
            episodes=step.episodes,
            steps=np.full(len(step.episodes), step.step),
            rewards=step.outcome.rewards,
            terminal=step.outcome.terminal,
            ended=step.outcome.ended,
            ended_episodes=step.episodes[ended],
            last_observations=self._observations(take(step.next_contexts, ended)),
        )

    def played(self, discount: float, scales: np.ndarray) -> PlayedEpisodes:
        """All episodes; scales: what the rewards of each are divided by [E].

        Without a discount, a cut-off counts as terminal: the value of what could follow it has no bound.
        """
        columns = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        order = np.argsort(columns["episodes"], kind="stable")  # by episode, and then by step
        last = columns.pop("last_observations")[np.argsort(columns.pop("ended_episodes"))]
        rows = {name: column[order] for name, column in columns.items()}
        rewards, ended, eligible, episodes = (rows[name] for name in ("rewards", "ended", "eligible", "episodes"))
        next_observations, next_eligible = (np.roll(rows[name], -1, axis=0) for name in ("observations", "eligible"))
        next_observations[ended], next_eligible[ended] = last, True
        transitions = Transitions(
            observations=rows["observations"],
            actions=rows["actions"],
            rewards=rewards / scales[episodes],
            next_observations=next_observations,
            discounts=np.where(ended if discount == 1 else rows["terminal"], 0.0, discount),
            is_known=np.ones(len(order), bool),
            episodes=episodes,
            steps=rows["steps"],
            propensities=rows["propensities"],
            eligible=None if eligible.all() else eligible,
            next_eligible=None if next_eligible.all() else next_eligible,
        )
        return PlayedEpisodes(transitions, np.bincount(episodes, rewards), rows["entropies"])

    def _add(self, **columns: np.ndarray) -> None:
        for name, column in columns.items():
            self._columns[name].append(column)

    def _observations(self, contexts: Contexts) -> np.ndarray:
        """Observations float32 [B, dim] of contexts."""
        if self._task.plain:
            return np.asarray(contexts[self._task.plain], np.float32)
        return self._encoding.context.encode(context_array(self._task, contexts))
