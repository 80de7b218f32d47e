"""The port of the log: decisions and rewards, each stored once."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.settings.task import Task


class LogCounts(NamedTuple):
    """Counts of received, duplicate, late and dangling events."""

    received: dict[str, int]  # events appended, per table, duplicates included
    duplicate: dict[str, int]  # of these, events whose key was already in the table; the others are its rows
    late: int  # rewards earned or logged after the attribution window of their decision: stored, not learned from
    dangling: int  # rewards whose decision is not in the warehouse (yet)


class Warehouse(Protocol):
    """The log: the tables `decisions` and `rewards`, append-only, each event stored once by its key.

    Every row has a `logged_at`, the time of the append that stored it. It increases with every append to a table, so
    rows up to a past `logged_at` never change, and a plain time serves as a watermark.

    Decisions have the features of the config's task. A task may gain features, which are missing in older rows, and
    lose some, which stay stored. Missing lists are read as empty ones. Every method but `upgrade` raises InvalidInput,
    before anything is written, if a feature is stored as another kind than the task's, or if decisions of schema
    version 2 wait for `upgrade`.

    A Window is a range of the decisions' `logged_at`: after `since` (exclusive) and up to `until` (inclusive).
    """

    def append(self, table: str, events: pa.Table) -> int:
        """Add the events with new keys to `decisions` or `rewards`; returns how many these are.

        Idempotent: an event is dropped if the table, or the batch, already holds its key (schema.KEYS) with a timestamp
        at most a day apart. Atomic: all new events become visible at once or, after a crash, none.
        """

    def reading(self, task: Task) -> "Warehouse":
        """The same log, read with the features of another task, such as one that has dropped features, too.

        They must have been stored with the kinds that this task gives them.
        """

    def window(self, since: datetime | None) -> Window:
        """The longest complete window after `since` (None: from the beginning), with its number of interactions.

        A window is complete when no later event can change its interactions: for each of its decisions, the attribution
        window has passed since the decision was logged, or its reward is there and the aggregation is "first", or the
        decision is simulated (its rewards must be appended before it). Windows that each start at the `until` of the
        one before have no gap and no overlap. Without new complete decisions, `until` is `since` (1970 for None).
        """

    def interactions(self, window: Window, fold: Fold | None = None) -> Iterator[pa.RecordBatch]:
        """The interactions of a complete window, or of one fold of it, in batches of the task's interaction_schema.

        An interaction is a decision with its aggregated reward, or else the default one; where that is "ignore",
        decisions without a reward are no interactions. Shadow decisions are left out, and so are deferred ones
        that were not activated within the attribution window. A reward counts if it has the configured name and was
        both earned and logged within the attribution window after the decision was (earned up to a day before it, if
        clocks differ). Reading a window again gives the same interactions. They are streamed, never all in memory.
        """

    def policy_totals(self) -> list[dict[str, Any]]:
        """Totals per policy version, in order of their first decision.

        Keys: version; interactions; rewarded, the interactions with at least one reward; mean_reward, weighted by
        1 / logging_probability (None without interactions); ignored, the decisions left out because they have no reward
        (yet), 0 with a default one; shadowed, the number of shadow decisions.
        """

    def event_counts(self) -> LogCounts:
        """Counts over all events ever appended; exact also after crashes."""

    def upgrade(self) -> int:
        """Copy the decisions of schema version 2 into the tables of this one; returns how many, 0 if there are none.

        They keep their `logged_at`, and with it their windows. Atomic and idempotent. Nothing may be logged meanwhile.

        Raises:
            InvalidInput: the task is not one of numbered actions and a single vector.
        """
