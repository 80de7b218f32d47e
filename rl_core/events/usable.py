"""Interactions that can be learned from: those that are consistent, with a reward in the task's range.

Training, evaluation and reports all read them, so that all leave out the same interactions, and count them.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.consistency import contradictions
from banditloop.rl_core.settings.task import Task

INCONSISTENT, OUTSIDE_RANGE = "inconsistent", "outside_range"
BROKEN_EPISODE = "broken_episode"  # the usable transitions of an episode with an unusable one
log = logging.getLogger("banditloop.interactions")


class UsableInteractions:
    """Passes usable interactions on and counts the others in `left_out`, by reason.

    shapes: the number of actions of known versions, as for `contradictions`. The aggregated reward is checked, not each
    single one: a sum may be outside the range although no single reward is.
    """

    def __init__(self, task: Task, shapes: Mapping[str, int]) -> None:
        self.left_out: Counter[str] = Counter()
        self.example = ""  # what is wrong with one of them
        self._task, self._shapes = task, shapes

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The usable interactions of some batches, in batches."""
        for batch in batches:
            yield _only(batch, self._usable(batch))

    def episodes_of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The transitions of episodes that are usable as a whole, of batches that each hold whole episodes."""
        for batch in batches:
            usable, episodes = self._usable(batch), batch["episode_id"]
            broken = pc.is_in(episodes, episodes.filter(pa.array(~usable))).to_numpy(zero_copy_only=False)
            if count := int((broken & usable).sum()):
                self.left_out[BROKEN_EPISODE] += count
            yield _only(batch, ~broken)

    def _usable(self, batch: pa.RecordBatch) -> np.ndarray:
        """Whether each row is usable, bool [B]; the others are counted."""
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
        return usable & ~outside

    def _leave_out(self, reason: str, count: int, example: str) -> None:
        self.left_out[reason] += count
        self.example = self.example or example
        log.warning("%d interactions are left out, such as %s", count, example)


def _only(batch: pa.RecordBatch, rows: np.ndarray) -> pa.RecordBatch:
    return batch if rows.all() else batch.filter(pa.array(rows))
