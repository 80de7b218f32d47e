"""The served loop without its processes: decide by a policy, hold a tenth out, retrain as the trigger would."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from banditloop.rl_core.agents import Batch
from banditloop.rl_core.environments import Environment
from banditloop.rl_core.events.contexts import Contexts, context_array
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.settings.loop import RetrainingSection
from banditloop.rl_core.training.lineage import REFIT_GROWTH
from tests.benchmarks.learning.deciders import Decider
from tests.benchmarks.learning.tasks import LearningTask, Users

HELD_OUT = 0.1
Needed = Callable[[int], int]  # new interactions that start a retraining, after so many were learned from
NEEDED: Needed = RetrainingSection().needed


class Served(NamedTuple):
    """Interactions that one policy served: contexts, actions, rewards, propensities, and the regret of each."""

    contexts: Contexts
    actions: np.ndarray
    rewards: np.ndarray
    propensities: np.ndarray
    regret: np.ndarray


class Learner:
    """A decider in the loop, with the encoding and the interactions that it was given."""

    def __init__(self, decider: Decider, environment: Environment) -> None:
        self._decider, self._task = decider, environment.task
        self._encoding, self._log = Encoding.unfitted(self._task), list[tuple[Any, ...]]()
        if features := environment.action_features():
            named = {str(number): values for number, values in enumerate(features)}
            self._encoding = self._encoding.with_features(self._task, named)
        self._start()

    def probabilities(self, contexts: Contexts) -> np.ndarray:
        return self._decider.probabilities(self._encoding.context.encode(self._array(contexts)))

    def chosen(self, actions: np.ndarray) -> np.ndarray:
        """Actions as rewards take them: numbers, or ids where the task names its actions."""
        return actions if isinstance(self._task.actions, int) else np.array(self._encoding.action_ids)[actions]

    def learn(self, served: Served, kept: np.ndarray) -> None:
        """Train on what was kept [B], and again on all once the encoder must be fitted to a longer log."""
        rows = sum(len(actions) for _, actions, *_ in self._log)
        ids = np.arange(rows, rows + kept.sum(), dtype=np.uint64)
        columns = served.actions[kept], served.rewards[kept], served.propensities[kept], ids
        self._log.append((self._array(served.contexts).filter(pa.array(kept)), *columns))
        rows, encoder, added = rows + len(ids), self._encoding.context, self._log[-1:]
        if encoder.is_fitted and rows >= REFIT_GROWTH * encoder.fitted_rows:
            fitted = encoder.fit(pa.concat_arrays([values for values, *_ in self._log]))
            self._encoding, added = self._encoding.model_copy(update={"context": fitted}), self._log
            self._start()
        encoded = [(self._encoding.context.encode(values), *rest) for values, *rest in added]
        observations, actions, rewards, propensities, ids = map(np.concatenate, zip(*encoded, strict=True))
        self._decider.learn(Batch(observations, actions, rewards, propensities=propensities, ids=ids))

    def _start(self) -> None:
        encoding = self._encoding
        self._decider.start(encoding.context.dim, len(encoding.action_ids), encoding.feature_matrix())

    def _array(self, contexts: Contexts) -> pa.StructArray:
        features = {name: values for name, values in contexts.items() if name in self._task.context}
        return context_array(self._task, features)


def served_batches(
    task: LearningTask, decider: Decider, seed: int, floor: float, needed: Needed = NEEDED
) -> Iterator[Served]:
    """What every policy of the loop served. The first is uniform."""
    environment, random = task.environment(seed), np.random.default_rng([seed, 1])
    users, learner, learned_from, total = Users(environment, random), Learner(decider, environment), 0, 0
    while total < task.interactions:
        count = min(needed(learned_from), task.interactions - total)
        contexts, means = users.draw(count)
        probabilities = (1 - floor) * learner.probabilities(contexts) + floor / means.shape[1]
        cumulative = probabilities.cumsum(axis=1)
        actions = (cumulative / cumulative[:, -1:] <= random.random((count, 1))).argmin(axis=1)
        rows, ids = np.arange(count), [f"{seed}-{total + number}" for number in range(count)]
        rewards, propensities = environment.reward(contexts, learner.chosen(actions), ids), probabilities[rows, actions]
        served = Served(contexts, actions, rewards, propensities, means.max(axis=1) - means[rows, actions])
        yield served
        kept, total = random.random(count) >= HELD_OUT, total + count
        learned_from += int(kept.sum())
        learner.learn(served, kept)


def regret(task: LearningTask, decider: Decider, seed: int, floor: float, needed: Needed = NEEDED) -> float:
    """The mean regret of an interaction, of a decider that is retrained as it serves."""
    return float(
        np.concatenate([served.regret for served in served_batches(task, decider, seed, floor, needed)]).mean()
    )
