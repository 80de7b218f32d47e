"""Logged interactions of a window, with the propensities of the policies that could have answered them.

Whichever policy logged an interaction, its propensity is that of the mixture of the policies that shared the traffic at
that moment, by their known shares (balanced weights; Agarwal, Basu, Schnabel, Joachims: Effective Evaluation Using
Logged Bandit Feedback from Multiple Loggers, KDD 2017): where champion and candidate choose alike, their difference is
0, whoever served.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evaluation.interactions import Interactions, scaled_interactions
from banditloop.rl_core.evaluation.traffic_shares import answering_shares
from banditloop.rl_core.events.candidates import logged_ids
from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.features.encoding import with_features_of
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.training.train import sample_weight

BATCH_ROWS = 8192
log = logging.getLogger("banditloop.evaluation")


class LoggedBatch(NamedTuple):
    """Interactions with the policies that logged them."""

    interactions: Interactions
    logged_by: np.ndarray  # index of the logging policy [B]
    mix: np.ndarray  # probability with which each policy was to answer [B, policies]
    sample_weight: np.ndarray | None  # [B], with a mean of 1 over the window


@dataclass(frozen=True)
class LoggedWindow:
    """Interactions in the order of time, and the policies that logged them, by version."""

    config: Config
    policies: Mapping[str, SavedPolicy]
    table: pa.Table
    ids: tuple[str, ...]  # of all candidates
    unknown_version_rows: int  # interactions left out because their version's policy is not available
    sharing: Sequence[str] = ()  # two versions that shared the traffic
    left_out: int = 0  # interactions that contradict themselves, or have a reward outside the task's range

    @classmethod
    def of(
        cls,
        config: Config,
        load: Callable[[str], SavedPolicy | None],
        batches: Iterable[pa.RecordBatch],
        sharing: Sequence[str] = (),
    ) -> "LoggedWindow":
        """The window of interactions given in any order.

        load returns a version's policy, or None if unknown. sharing: two versions that are known to have shared the
        traffic.
        """
        tables = [pa.table(batch) for batch in batches]
        if not tables:
            return cls(config, {}, pa.table({}), (), 0)
        ids = tuple(logged_ids(pa.concat_tables(tables)))
        table = pa.concat_tables(tables).sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
        versions = table["policy_version"].unique().to_pylist()
        policies = {version: policy for version in versions if (policy := load(version))}
        usable = table.filter(pc.is_in(table["policy_version"], pa.array(list(policies), pa.string())))
        return cls(config, policies, usable, ids, table.num_rows - usable.num_rows, sharing)

    @cached_property
    def logged_by(self) -> np.ndarray:
        """The index of the policy that logged each interaction [rows]."""
        return pc.index_in(self.table["policy_version"], pa.array(list(self.policies))).to_numpy()

    @cached_property
    def shares(self) -> np.ndarray:
        """The probability with which the policy that logged each interaction was to answer it [rows]; NaN: unknown."""
        return self.table["assignment_share"].to_numpy()

    @cached_property
    def mix(self) -> np.ndarray:
        """The probability with which each policy was to answer each interaction [rows, policies]."""
        versions = list(self.policies)
        sharing = [versions.index(version) for version in self.sharing if version in self.policies]
        pair = (sharing[0], sharing[1]) if len(sharing) == 2 else None
        return answering_shares(self.logged_by, self.shares, len(versions), pair)

    @cached_property
    def sample_weight(self) -> np.ndarray | None:
        """The inverse logging probability of each interaction [rows], scaled to a mean of 1; None: all logged."""
        weights = sample_weight(self.table)
        return None if weights is None else weights / weights.mean()

    @property
    def logging_mix(self) -> dict[str, float]:
        """The fraction of the window that each version logged."""
        return {version: float((self.logged_by == index).mean()) for index, version in enumerate(self.policies)}

    def batches(self) -> Iterator[LoggedBatch]:
        """All interactions, in the order of time."""
        for start in range(0, self.table.num_rows, BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            interactions = scaled_interactions(self.config, self.table.slice(start, BATCH_ROWS), self.ids)
            weights = None if self.sample_weight is None else self.sample_weight[rows]
            yield LoggedBatch(interactions, self.logged_by[rows], self.mix[rows], weights)

    def logged_for(
        self, batch: LoggedBatch, policies: list[SavedPolicy], predictions: np.ndarray
    ) -> list[tuple[Logged, np.ndarray]]:
        """The batch's decisions with each policy as the target, and that policy's probabilities [B, K].

        predictions [B, K]: a model's predicted reward of every candidate, in [0, 1].
        """
        actions, rewards = batch.interactions.actions, batch.interactions.rewards
        targets = {policy.manifest.version: _probabilities(policy, batch) for policy in policies}
        propensity, row = self._propensity(batch, targets), (np.arange(len(actions)), actions)
        logged = []
        for policy in policies:
            version = policy.manifest.version
            target, max_weight = targets[version], self.max_weight(version, batch)
            expected = (target * predictions).sum(axis=1)
            decisions = Logged(
                rewards, propensity, target[row], predictions[row], expected, max_weight, batch.sample_weight
            )
            logged.append((decisions, target))
        return logged

    def max_weight(self, version: str, batch: LoggedBatch) -> np.ndarray:
        """The largest importance weight [B] that a version can have, for any user.

        π / p is at most 1 / (its own share + the least probability that the exploration of the others gives any
        candidate).
        """
        count = batch.interactions.candidates.mask(len(batch.mix)).sum(axis=1)
        floors = np.array([policy.manifest.exploration for policy in self.policies.values()]) / count[:, None]
        own = np.array([other == version for other in self.policies])
        return 1 / (batch.mix * np.where(own, 1.0, floors)).sum(axis=1)

    def _propensity(self, batch: LoggedBatch, targets: Mapping[str, np.ndarray]) -> np.ndarray:
        """The mixture propensity [B] of the logged actions; `targets`: known probabilities [B, K] by version."""
        actions = batch.interactions.actions
        propensity, row = np.zeros(len(actions)), (np.arange(len(actions)), actions)
        for index, (version, policy) in enumerate(self.policies.items()):
            if batch.mix[:, index].any():
                probabilities = targets[version] if version in targets else _probabilities(policy, batch)
                propensity += batch.mix[:, index] * probabilities[row]
        return propensity


def _probabilities(policy: SavedPolicy, batch: LoggedBatch) -> np.ndarray:
    interactions = batch.interactions
    return policy.probabilities(policy.observations(interactions.contexts), interactions.candidates)


def logged_window(
    platform: Platform,
    config: Config,
    window: Window,
    compared: Iterable[SavedPolicy] = (),
    fold: Fold | None = None,
    sharing: Sequence[str] = (),
) -> LoggedWindow:
    """A window of the warehouse's log, or one fold of it, with its policies that the endpoint still has.

    It is read with the features of the task and of the policies that are compared, which the task may have dropped.
    Other policies that need more features, or are damaged, are not available.
    """
    versions = action_counts(platform.endpoint)
    task = with_features_of(config.task, [policy.encoding for policy in compared])

    def load(version: str) -> SavedPolicy | None:  # a version from the log becomes a path only if the endpoint has it
        if version not in versions:
            return None
        try:
            policy = SavedPolicy.load(platform.endpoint.policy(version))
        except InvalidInput as error:
            log.error("%s; its interactions are left out", error)
            return None
        return policy if policy.encoding.readable(task) else None

    usable = UsableInteractions(config.task, versions)
    interactions = usable.of(platform.warehouse.reading(task).interactions(window, fold))
    return replace(LoggedWindow.of(config, load, interactions, sharing), left_out=usable.left_out.total())
