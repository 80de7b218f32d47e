"""The port of the log: decisions and rewards, each stored once."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.settings.task import Task

MAX_SKEW = timedelta(days=1)  # by which the clocks that give events their timestamps may differ
TRAINED_AHEAD = "the last training read up to %s: its clock was ahead; the whole log is read again"
AHEAD = "%s: has rows that were logged while the clock was ahead, up to %s; they wait. Run `banditloop repair`"
NO_EPISODES = "episodes: the config has no section of this name; add it, empty for defaults"


class LogCounts(NamedTuple):
    """Events received, and what became of them: each is in exactly one of the other counts of its table.

    The received decisions are the sum of duplicate, shown, shadow and inactive ones; the received rewards that of
    duplicate, joined, late, early, unnamed and dangling ones.
    """

    received: dict[str, int]  # events appended, per table
    duplicate: dict[str, int]  # events whose key was already in the table; the others are its rows
    shown: int = 0  # decisions that are interactions, or wait for a reward to become one
    shadow: int = 0  # decisions of shadows
    inactive: int = 0  # deferred decisions that were not activated (yet)
    joined: int = 0  # rewards and activations that belong to a decision
    late: int = 0  # rewards earned or received after the attribution window of their decision: stored, not learned from
    early: int = 0  # rewards earned more than a day before their decision: stored, not learned from
    unnamed: int = 0  # rewards in time, under a name that is not trained on
    dangling: int = 0  # rewards whose decision is not in the warehouse (yet)


class EpisodeCounts(NamedTuple):
    """The decisions that are not shadows and were activated, by what they are in the timeline: each in one count."""

    episodes: int  # complete ones
    transitions: int  # decisions of complete episodes
    unfinished: int  # decisions of other episodes
    after_end: int  # decisions of a step after their episode's last, or logged after its time had passed
    repeated: int  # decisions of a step that was logged before
    without_episode: int  # decisions without an episode_id or a step


class Warehouse(Protocol):
    """The log: the tables `decisions` and `rewards`, append-only, each event stored once by its key.

    Every row has a `logged_at`, the time of the append that stored it. It increases with every append to a table, so
    rows up to a past `logged_at` never change, and a plain time serves as a watermark. Rows that were stored while the
    clock was ahead, by more than MAX_LEAD, do not hold up later ones: they are in no window until their time has come,
    or `repair` was called, and every append says so in the process's log.

    A reward is late if it was earned later than the attribution window after its decision, or received later than that
    after its decision was logged. It is received when the endpoint accepts it (`received_at`) or, if it did not come
    through the endpoint, when the bus does. Windows wait for rewards that were received in time and are not logged yet:
    on one machine for those that wait in outboxes and bus, up to a day; on BigQuery always two leases of the bus.
    Rewards that are logged after that are late, too.

    Decisions have the features of the config's task. A task may gain features, which are missing in older rows, and
    lose some, which stay stored. Missing lists are read as empty ones. Every method but `upgrade` raises InvalidInput,
    before anything is written, if a feature is stored as another kind than the task's, or if decisions of schema
    version 2 wait for `upgrade`.

    A Window is a range of the decisions' `logged_at`: after `since` (exclusive) and up to `until` (inclusive).
    """

    def append(self, table: str, events: pa.Table) -> int:
        """Add the events with new keys to `decisions` or `rewards`; returns how many these are.

        Idempotent: an event is dropped if the table, or the batch, already holds its key (schema.KEYS) with a timestamp
        no further apart than the attribution window, or a day if that is longer. Atomic: all new events become visible
        at once or, after a crash, none.
        """

    def reading(self, task: Task) -> "Warehouse":
        """The same log, read with the features of another task, such as one that has dropped features, too.

        They must have been stored with the kinds that this task gives them.
        """

    def window(self, since: datetime | None) -> Window:
        """The longest complete window after `since` (None: from the beginning), with its number of interactions.

        A window is complete when no later event can change its interactions: for each of its decisions, the attribution
        window has passed since the decision was logged and what was received in it is logged, or its reward is there
        and the aggregation is "first" (not in a config with episodes, where other rewards may follow), or the decision
        is simulated (its rewards must be appended before it). Windows that each start at the `until` of the one before
        have no gap and no overlap. Without new complete decisions, `until` is `since` (1970 for None). A `since` that
        leads the clock by more than MAX_LEAD was taken while the clock was ahead, and counts as None.
        """

    def shards(self, window: Window, fold: Fold | None, count: int) -> list[str]:
        """Names of shards of these interactions, for `interactions` in other processes: `count`, or fewer.

        Every interaction is in one of them. They can be read for six hours.
        """

    def interactions(self, window: Window, fold: Fold | None = None, shard: str = "") -> Iterator[pa.RecordBatch]:
        """The interactions of a complete window, or of one fold of it, in batches of the task's interaction_schema.

        shard: one of the `shards` of this window and fold, to read only those in it; empty: all.

        An interaction is a decision with its aggregated reward, or else the default one; where that is "ignore",
        decisions without a reward are no interactions. Shadow decisions are left out, and so are deferred ones
        that were not activated within the attribution window. A reward counts if it has the configured name, was earned
        within the attribution window after the decision was made (or up to a day before it, if clocks differ), and was
        received within that window after the decision was logged. Reading a window again gives the same interactions.
        They are streamed, never all in memory.
        """

    def episode_ids(self, window: Window) -> pa.Array:
        """The ids of the episodes of a window's interactions, text [E], each once and in no order."""

    def transitions(self, window: Window, fold: Fold | None = None) -> Iterator[pa.RecordBatch]:
        """The timeline of the episodes that became complete in a window, or of one fold of them, by transition_schema.

        An episode is the decisions with its episode_id. It is complete when the first decision is logged that ends it,
        or that is its `episodes.max_steps`th, and at the latest `episodes.window_seconds` after its first decision was
        logged. A decision ends an episode if it is terminal or truncated: by its own field, or by a reward of this name
        and another value than 0, in time for it. Windows that each start at the `until` of the one before have every
        episode once, and reading a window again gives the same, whatever was logged since.

        Decisions count in whatever order they were logged up to the window's end; those of an episode that nothing
        ended, only up to the time at which it was complete. Left out are steps after the first end, or beyond the most
        steps; a step that was logged before; shadows, and deferred decisions that were not activated. The rows of an
        episode are in one batch, next to each other and in the order of their steps; episodes are in the order in which
        they became complete. The last row of an episode is terminal, or else truncated.

        The reward of a step is the weighted sum of the rewards by the names in `episodes.rewards`, or that of
        `reward.name` alone, each aggregated as those of interactions are, and the default one where there is none.
        Metrics are aggregated alike, and null where there is none. The folds hold whole episodes, by the hash of their
        id: about the same fraction of all episodes as of all interactions.

        Raises:
            InvalidInput: the config has no section `episodes`.
        """

    def episode_counts(self, until: datetime) -> EpisodeCounts:
        """The decisions logged up to a time, counted by what they are in the timeline that is complete then."""

    def policy_totals(self, versions: Collection[str] | None = None) -> list[dict[str, Any]]:
        """Totals per policy version, or per each of these that has decisions, in order of their first decision.

        Keys: version; interactions; rewarded, the interactions with at least one reward; mean_reward, weighted by
        1 / logging_probability (None without interactions); ignored, the decisions left out because they have no reward
        (yet), 0 with a default one; shadowed, the number of shadow decisions.

        They also count what training leaves out and counts separately: decisions and rewards that contradict
        themselves, and rewards outside the task's range.
        """

    def event_counts(self) -> LogCounts:
        """Counts over all events ever appended; exact also after crashes."""

    def repair(self) -> int:
        """Give rows whose `logged_at` leads the clock by more than MAX_LEAD the present time; returns how many.

        Atomic for each table, and idempotent. On one machine, data files that are damaged inside are set aside first;
        their rows are lost, which is logged.
        """

    def upgrade(self) -> int:
        """Copy the decisions of schema version 2 into the tables of this one; returns how many, 0 if there are none.

        They keep their `logged_at`, and with it their windows. Atomic and idempotent. Nothing may be logged meanwhile.

        Raises:
            InvalidInput: the task is not one of numbered actions and a single vector.
        """
