"""Logged episodes of a window, with the policies that answered them.

An episode counts if one version answered all of it, whose policy is available, or if an application took its decisions
and told their propensities. All others are left out whole, and counted by the reason.

The episodes read are those that became complete in the window. Of episodes that begin together, short ones become
complete first: `promotion.begun_episodes` takes care of that where it matters.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.evaluation.available_policies import Load, loader, policies_of
from banditloop.rl_core.evaluation.episodes.episode_rows import UNUSABLE, EpisodeTable
from banditloop.rl_core.evaluation.logged_batch import told_by_application
from banditloop.rl_core.evaluation.traffic_shares import versions_mix, without_shares_before
from banditloop.rl_core.events.candidates import logged_ids
from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.features.encoding import with_features_of
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.settings.episodes import EpisodesSection


@dataclass(frozen=True)
class EpisodeWindow:
    """Transitions of whole episodes, whose rows are next to each other, and the policies that answered, by version."""

    config: Config
    policies: Mapping[str, SavedPolicy]
    table: pa.Table
    ids: tuple[str, ...]  # of all candidates
    left_out: Mapping[str, int]  # numbers of episodes or decisions, by the reason
    sharing: Sequence[str] = ()  # two versions that shared the traffic
    least_propensity: float = 0.0  # that an unknown policy gives any action; 0: unknown
    read: frozenset[str] = frozenset()  # ids of all episodes, with those that were left out

    @classmethod
    def of(
        cls,
        config: Config,
        load: Load,
        batches: Iterable[pa.RecordBatch],
        sharing: Sequence[str] = (),
        least_propensity: float = 0.0,
    ) -> "EpisodeWindow":
        """The window of usable transitions of whole episodes.

        load returns a version's policy, or None if unknown. sharing: two versions that are known to have shared the
        traffic.
        """
        tables = [table for batch in batches if (table := pa.table(batch)).num_rows]
        if not tables:
            return cls(config, {}, pa.table({}), (), {}, sharing, least_propensity)
        table = pa.concat_tables(tables).combine_chunks()
        policies, is_known = policies_of(table, load, sharing)
        rows = EpisodeTable(table)
        reasons = rows.reasons(is_known)
        if sharing:
            is_gone = pc.invert(pc.or_(is_known, told_by_application(table))).to_numpy()
            table = without_shares_before(table, is_gone, table["timestamp"].to_numpy()[rows.starts][rows.episode])
        usable = table.filter(pa.array((reasons == "")[rows.episode]))
        left_out = Counter(reason for reason in reasons.tolist() if reason)
        return cls(config, policies, usable, tuple(logged_ids(table)), left_out, sharing, least_propensity)

    @property
    def section(self) -> EpisodesSection:
        """The config's section of episodes."""
        assert self.config.episodes
        return self.config.episodes

    @property
    def episodes(self) -> int:
        """The number of episodes that count."""
        return len(self.rows.starts)

    @cached_property
    def rows(self) -> EpisodeTable:
        """Where the rows of each episode are."""
        return EpisodeTable(self.table)

    @cached_property
    def answered_by(self) -> np.ndarray:
        """The index of the policy that answered each episode [E]; -1: it is unknown."""
        if not self.table.num_rows:
            return np.zeros(0, int)
        versions = pa.array(list(self.policies), pa.string())
        return pc.index_in(self.table["policy_version"], versions).fill_null(-1).to_numpy()[self.rows.starts]

    @cached_property
    def shares(self) -> np.ndarray:
        """The probability with which the policy that answered was to answer each episode [E]; NaN: unknown.

        Where it changed during an episode, it is unknown: other episodes changed to another version, and are left out.
        """
        shares = self.table["assignment_share"].to_numpy()
        least, largest = (extreme.reduceat(shares, self.rows.starts) for extreme in (np.minimum, np.maximum))
        return np.where(least == largest, least, np.nan)

    @cached_property
    def mix(self) -> np.ndarray:
        """The probability with which each policy was to answer each episode [E, V]; 0 of unknown ones."""
        if not self.episodes:
            return np.zeros((0, len(self.policies)))
        return versions_mix(self.answered_by, self.shares, list(self.policies), self.sharing)

    def only(self, episodes: pa.Array) -> Self:
        """The window with these episodes alone, by their ids."""
        if not self.episodes:
            return self
        return replace(self, table=self.table.filter(pc.is_in(self.table["episode_id"], episodes)).combine_chunks())

    def without(self, episodes: pa.Array) -> Self:
        """The window without these episodes, by their ids."""
        if not self.episodes:
            return self
        ids = self.table["episode_id"].unique()
        return self.only(ids.filter(pc.invert(pc.is_in(ids, episodes))))

    def without_unusable(self, usable: UsableInteractions) -> Self:
        """The window with the count of the transitions that were left out before."""
        count = usable.left_out.total()
        return replace(self, left_out={**self.left_out, UNUSABLE: count}) if count else self

    def returns(self, rewards: np.ndarray) -> np.ndarray:
        """The discounted sum of the rewards [B] of each episode [E]."""
        discounts = self.section.discount ** self.table["steps_since_first"].to_numpy()
        return np.add.reduceat(discounts * rewards, self.rows.starts)


def episode_window(
    platform: Platform,
    config: Config,
    window: Window,
    compared: Iterable[SavedPolicy] = (),
    fold: Fold | None = None,
    sharing: Sequence[str] = (),
) -> EpisodeWindow:
    """The episodes that became complete in a window of the warehouse's log, or one fold of them; as `logged_window`."""
    versions = action_counts(platform.endpoint)
    task = with_features_of(config.task, [policy.encoding for policy in compared])
    usable = UsableInteractions(config.task, versions)
    batches = [*platform.warehouse.reading(task).transitions(window, fold)]
    load, transitions = loader(platform.endpoint, versions, task), usable.episodes_of(batches)
    sample = EpisodeWindow.of(config, load, transitions, sharing).without_unusable(usable)
    return replace(sample, read=frozenset(id_ for batch in batches for id_ in batch["episode_id"].unique().to_pylist()))
