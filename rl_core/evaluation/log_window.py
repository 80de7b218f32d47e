"""Logged interactions of a window, with the propensities of the policies that could have answered them.

Whichever policy logged an interaction, its propensity is that of the mixture of the policies that shared the traffic at
that moment, by their known shares (balanced weights; Agarwal, Basu, Schnabel, Joachims: Effective Evaluation Using
Logged Bandit Feedback from Multiple Loggers, KDD 2017): where champion and candidate choose alike, their difference is
0, whoever served.

Of decisions that an application took itself (mode external) the logging policy is unknown: their propensities are those
that were logged. How large their weights can be is unknown as well, unless their least propensity is given.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evaluation.available_policies import Load, loader, policies_of
from banditloop.rl_core.evaluation.interactions import scaled_interactions
from banditloop.rl_core.evaluation.logged_batch import LoggedBatch, told_by_application
from banditloop.rl_core.evaluation.traffic_shares import versions_mix, without_shares_before
from banditloop.rl_core.events.candidates import logged_ids
from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.features.encoding import with_features_of
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.training.train import sample_weight

BATCH_ROWS = 8192


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
    least_propensity: float = 0.0  # that an unknown policy gives any action; 0: unknown

    @classmethod
    def of(
        cls,
        config: Config,
        load: Load,
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
        policies, is_known = policies_of(table, load, sharing)
        is_usable = pc.or_(is_known, told_by_application(table))
        if sharing:
            table = without_shares_before(table, pc.invert(is_usable).to_numpy(), table["timestamp"].to_numpy())
        usable = table.filter(is_usable)
        return cls(config, policies, usable, ids, table.num_rows - usable.num_rows, sharing)

    @cached_property
    def logged_by(self) -> np.ndarray:
        """The index of the policy that logged each interaction [rows]; -1: it is unknown."""
        if not self.table.num_rows:
            return np.zeros(0, int)
        versions = pa.array(list(self.policies), pa.string())
        return pc.index_in(self.table["policy_version"], versions).fill_null(-1).to_numpy()

    @property
    def of_known_policies(self) -> "LoggedWindow":
        """The window without the interactions of unknown policies."""
        known = self.logged_by >= 0
        return self if known.all() else replace(self, table=self.table.filter(pa.array(known)))

    @cached_property
    def shares(self) -> np.ndarray:
        """The probability with which the policy that logged each interaction was to answer it [rows]; NaN: unknown."""
        return self.table["assignment_share"].to_numpy()

    @cached_property
    def mix(self) -> np.ndarray:
        """The probability with which each policy was to answer each interaction [rows, policies]; 0 of unknown ones."""
        return versions_mix(self.logged_by, self.shares, list(self.policies), self.sharing)

    @cached_property
    def sample_weight(self) -> np.ndarray | None:
        """The inverse logging probability of each interaction [rows], scaled to a mean of 1; None: all logged."""
        weights = sample_weight(self.table)
        return None if weights is None else weights / weights.mean()

    @property
    def logging_mix(self) -> dict[str, float]:
        """The fraction of the window that each version logged."""
        counts = self.table["policy_version"].value_counts() if self.table.num_rows else []
        fractions = {count["values"].as_py(): count["counts"].as_py() / self.table.num_rows for count in counts}
        return {version: fractions.pop(version, 0.0) for version in self.policies} | fractions

    def batches(self) -> Iterator[LoggedBatch]:
        """All interactions, in the order of time."""
        for start in range(0, self.table.num_rows, BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            table = self.table.slice(start, BATCH_ROWS)
            interactions = scaled_interactions(self.config, table, self.ids)
            weights = None if self.sample_weight is None else self.sample_weight[rows]
            propensities = table["propensity"].to_numpy()
            yield LoggedBatch(interactions, self.logged_by[rows], self.mix[rows], propensities, weights)

    def logged_for(
        self, batch: LoggedBatch, policies: Sequence[SavedPolicy | None], predictions: np.ndarray
    ) -> list[tuple[Logged, np.ndarray]]:
        """The batch's decisions with each policy as the target, and that policy's probabilities [B, K].

        None stands for whatever logged the decisions: its mean reward is that of the log, and its probabilities are 1
        for the actions that it took.

        predictions [B, K]: a model's predicted reward of every candidate, in [0, 1].
        """
        actions, rewards = batch.interactions.actions, batch.interactions.rewards
        targets = {policy.manifest.version: batch.probabilities(policy) for policy in policies if policy}
        propensity, row = batch.propensity(self.policies, targets), (np.arange(len(actions)), actions)
        logged = []
        for policy in policies:
            if policy is None:
                logged.append(batch.of_the_log(propensity, predictions))
                continue
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
        candidate); infinite where the least propensity is not known.
        """
        count = batch.interactions.candidates.mask(len(batch.mix)).sum(axis=1)
        floors = np.array([policy.manifest.exploration for policy in self.policies.values()]) / count[:, None]
        own = np.array([other == version for other in self.policies])
        least = (batch.mix * np.where(own, 1.0, floors)).sum(axis=1)
        least[batch.logged_by < 0] = self.least_propensity
        return np.divide(1.0, least, out=np.full(len(least), np.inf), where=least > 0)


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
    load = loader(platform.endpoint, versions, task)
    usable = UsableInteractions(config.task, versions)
    interactions = usable.of(platform.warehouse.reading(task).interactions(window, fold))
    return replace(LoggedWindow.of(config, load, interactions, sharing), left_out=usable.left_out.total())
