"""A stretch of the log, as the policies see it that are to be evaluated on it.

Whoever logged an interaction, its propensity is that of the mixture of all who wrote the log around it, each by its
share (balanced weights): where champion and candidate choose alike, whoever served, their difference is 0. The shares
are those of short eras in the order of time, for the mixture only holds where users and rewards are alike whoever
served: over a longer time, traffic that moves from one policy to another while rewards rise looks like merit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rl_core.config import Config
from rl_core.estimators import Logged
from rl_core.policy import SavedPolicy
from rl_core.training import columns, stands_for

ERA, BATCH = 256, 8192  # interactions
TOLERANCE = 1e-6  # in the scaled reward: rounding is no clipping


class Interactions(NamedTuple):
    """Observations [B, dim], actions [B], rewards [B] scaled to [0, 1], how many were clipped, and event ids [B]."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    clipped: int
    event_ids: list[str]


class Batch(NamedTuple):
    """Interactions, who logged them [B], the share of every policy in their eras [B, policies], and their weights."""

    interactions: Interactions
    logger: np.ndarray
    shares: np.ndarray
    stands_for: np.ndarray | None  # [B], of mean 1 over the stretch


@dataclass(frozen=True)
class Stretch:
    """Interactions in the order of time, and the policies that logged them."""

    config: Config
    policies: Mapping[str, SavedPolicy]
    table: pa.Table
    left_out: int  # interactions of versions that nobody knows any more

    @classmethod
    def of(
        cls, config: Config, load: Callable[[str], SavedPolicy | None], batches: Iterable[pa.RecordBatch]
    ) -> "Stretch":
        """The stretch of interactions in any order; `load` knows the policies of versions, or not."""
        parts = [pa.table(batch).drop_columns("probabilities") for batch in batches]
        if not parts:
            return cls(config, {}, pa.table({}), 0)
        table = pa.concat_tables(parts).sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
        versions = table["policy_version"].unique().to_pylist()
        known = {version: policy for version in versions if (policy := load(version))}
        kept = table.filter(pc.is_in(table["policy_version"], pa.array(list(known), pa.string())))
        return cls(config, known, kept, table.num_rows - kept.num_rows)

    @cached_property
    def logger(self) -> np.ndarray:
        """The number of the policy that logged each interaction [rows]."""
        return pc.index_in(self.table["policy_version"], pa.array(list(self.policies))).to_numpy()

    @cached_property
    def era(self) -> np.ndarray:
        """The number of the era of each interaction [rows]. The last one is the longest."""
        rows = self.table.num_rows
        return np.minimum(np.arange(rows) // ERA, max(1, rows // ERA) - 1)

    @cached_property
    def eras(self) -> np.ndarray:
        """The share of every policy in every era [eras, policies]."""
        many = len(self.policies)
        counts = np.bincount(self.era * many + self.logger, minlength=(self.era[-1] + 1) * many).reshape(-1, many)
        return counts / counts.sum(axis=1, keepdims=True)

    @cached_property
    def stands_for(self) -> np.ndarray | None:
        """The share of the traffic that each interaction stands for, over that of the mean one; None: all alike."""
        weights = stands_for(self.table)
        return None if weights is None else weights / weights.mean()

    @property
    def shares(self) -> dict[str, float]:
        """The share of every policy in all."""
        return {version: float((self.logger == number).mean()) for number, version in enumerate(self.policies)}

    def batches(self) -> Iterator[Batch]:
        """All interactions, in the order of time."""
        for start in range(0, self.table.num_rows, BATCH):
            rows = slice(start, start + BATCH)
            found = interactions(self.config, self.table.slice(start, BATCH))
            weights = None if self.stands_for is None else self.stands_for[rows]
            yield Batch(found, self.logger[rows], self.eras[self.era[rows]], weights)

    def beside(self, batch: Batch, policies: list[SavedPolicy], guesses: np.ndarray) -> list[tuple[Logged, np.ndarray]]:
        """The batch as each of the policies sees it, and that one's probabilities [B, actions].

        guesses [B, actions]: what a model expects of every action, in [0, 1].
        """
        observations, actions, rewards, *_ = batch.interactions
        row = np.arange(len(actions)), actions
        known = {policy.manifest.version: policy.probabilities(observations) for policy in policies}
        propensity = np.zeros(len(actions))
        for number, (version, policy) in enumerate(self.policies.items()):
            if batch.shares[:, number].any():
                probabilities = known[version] if version in known else policy.probabilities(observations)
                propensity += batch.shares[:, number] * probabilities[row]
        seen = []
        for policy in policies:
            target, largest = known[policy.manifest.version], self.largest(policy.manifest.version, batch)
            expected_reward = (target * guesses).sum(axis=1)
            logged = Logged(rewards, propensity, target[row], guesses[row], expected_reward, largest, batch.stands_for)
            seen.append((logged, target))
        return seen

    def largest(self, own: str, batch: Batch) -> np.ndarray:
        """The largest weight [B] that a version can have, whoever comes.

        π / p is at most 1 / (its own share + the least propensity that the others' exploration gives any action).
        """
        floors = [policy.manifest.exploration / policy.manifest.actions for policy in self.policies.values()]
        least = [1.0 if version == own else floor for version, floor in zip(self.policies, floors, strict=True)]
        return 1 / (batch.shares @ np.array(least))


def interactions(config: Config, table: pa.Table) -> Interactions:
    """A table of schema INTERACTION with its rewards scaled by the environment's bounds."""
    observations, actions, rewards = columns(table, config.environment.dim, config.environment.actions)
    scaled = _scaled(config, rewards)
    clipped = int((np.abs(scaled - 0.5) > 0.5 + TOLERANCE).sum())
    return Interactions(observations, actions, scaled.clip(0, 1), clipped, table["event_id"].to_pylist())


def expected(policy: SavedPolicy, config: Config, observations: np.ndarray) -> np.ndarray:
    """What the policy's model expects of every action [B, actions], scaled to [0, 1]."""
    return _scaled(config, policy.model.expected(observations)).clip(0, 1)


def _scaled(config: Config, rewards: np.ndarray) -> np.ndarray:
    low, high = config.environment.bounds
    return (rewards - low) / (high - low)
