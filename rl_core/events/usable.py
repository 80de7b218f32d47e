"""Interactions that can be learned from: those that are consistent, with a reward in the task's range.

What training, evaluation and reports read: the same interactions are left out of all of them, and counted.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from banditloop.rl_core.events.consistency import contradictions
from banditloop.rl_core.settings.task import Task

INCONSISTENT, OUTSIDE_RANGE = "inconsistent", "outside_range"
log = logging.getLogger("banditloop.interactions")


class UsableInteractions:
    """Passes usable interactions on and counts the others in `left_out`, by reason.

    shapes: the number of actions of known versions, as for `contradictions`. The aggregated reward is judged, not the
    rewards that it was made of: a sum may be outside the range although none of them is.
    """

    def __init__(self, task: Task, shapes: Mapping[str, int]) -> None:
        self.left_out: Counter[str] = Counter()
        self.example = ""  # what is wrong with one of them
        self._task, self._shapes = task, shapes

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The usable interactions of some batches, in batches."""
        for batch in batches:
            usable = np.ones(batch.num_rows, bool)
            if wrong := contradictions(pa.table(batch), self._task, self._shapes, stored=True):
                usable[list(wrong)] = False
                self._leave_out(INCONSISTENT, len(wrong), next(iter(wrong.values())))
            outside = usable & ~self._task.rewards.contains(batch["reward"].to_numpy())
            if outside.any():
                (low, high), row = self._task.rewards, int(np.argmax(outside))
                example = f"event {batch['event_id'][row]}: reward = {batch['reward'][row]}"
                text = f"{example}: is outside task.reward_range, {low:g} to {high:g}"
                self._leave_out(OUTSIDE_RANGE, int(outside.sum()), text)
                usable &= ~outside
            yield batch if usable.all() else batch.filter(pa.array(usable))

    def _leave_out(self, reason: str, count: int, example: str) -> None:
        self.left_out[reason] += count
        self.example = self.example or example
        log.warning("%d interactions are left out, such as %s", count, example)
