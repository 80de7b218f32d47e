"""A stretch of the log, as the policies see it that are to be evaluated on it.

Whoever logged an interaction, its propensity is that of the mixture of all who wrote this stretch of the log, each by
its share (balanced weights): where champion and candidate choose alike, whoever served, their difference is 0.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rl_core.config import Config
from rl_core.estimators import Logged
from rl_core.estimators.balanced import balanced_propensity
from rl_core.policy import SavedPolicy
from rl_core.training import columns

TOLERANCE = 1e-6  # in the scaled reward: rounding is no clipping
Read = Callable[[], Iterable[pa.RecordBatch]]  # a stretch of the log, from its beginning at every call


class Interactions(NamedTuple):
    """A batch: observations [B, dim], actions [B], rewards [B] scaled to [0, 1], how many were clipped, and whose."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    clipped: int
    event_ids: list[str]
    versions: np.ndarray


@dataclass(frozen=True)
class Stretch:
    """A stretch of the log whose loggers are known: how many interactions each wrote, and all of them again."""

    config: Config
    policies: Mapping[str, SavedPolicy]
    read: Read
    counts: Counter[str]

    @classmethod
    def of(cls, config: Config, load: Callable[[str], SavedPolicy | None], read: Read) -> "Stretch":
        """The stretch that `read` reads; interactions of versions that `load` knows nothing of are left out."""
        counts: Counter[str] = Counter()
        for batch in read():
            counts.update(
                {count["values"]: count["counts"] for count in batch["policy_version"].value_counts().to_pylist()}
            )
        known = {version: policy for version in counts if (policy := load(version))}
        return cls(config, known, read, counts)

    @cached_property
    def shares(self) -> dict[str, float]:
        """Of the interactions whose logger is known, by logger."""
        total = sum(self.counts[version] for version in self.policies)
        return {version: self.counts[version] / total for version in self.policies}

    def largest(self, policy: SavedPolicy) -> float:
        """The largest weight that the policy can have, whoever comes.

        π / p is at most 1 / (its own share + the least propensity that the others' exploration gives any action).
        """
        own = policy.manifest.version
        others = [(share, self.policies[version].manifest) for version, share in self.shares.items() if version != own]
        explored = sum(share * manifest.exploration / manifest.actions for share, manifest in others)
        return 1 / (self.shares.get(own, 0.0) + explored)

    def batches(self) -> Iterator[Interactions]:
        """The interactions whose logger is known."""
        for batch in self.read():
            table = pa.table(batch)
            table = table.filter(pc.is_in(table["policy_version"], pa.array(list(self.policies), pa.string())))
            if table.num_rows:
                yield interactions(self.config, table)

    def propensities(self, batch: Interactions) -> np.ndarray:
        """With which the mixture of the loggers chose the actions [B]."""
        chosen = [of(policy.probabilities(batch.observations), batch) for policy in self.policies.values()]
        return balanced_propensity(np.array(chosen), np.array(list(self.shares.values())))


def interactions(config: Config, table: pa.Table) -> Interactions:
    """A table of schema INTERACTION with its rewards scaled by the environment's bounds."""
    low, high = config.environment.bounds
    observations, actions, rewards = columns(table, config.environment.dim, config.environment.actions)
    scaled = (rewards - low) / (high - low)
    clipped = int((np.abs(scaled - 0.5) > 0.5 + TOLERANCE).sum())
    versions = np.array(table["policy_version"].to_pylist())
    return Interactions(observations, actions, scaled.clip(0, 1), clipped, table["event_id"].to_pylist(), versions)


def of(probabilities: np.ndarray, batch: Interactions) -> np.ndarray:
    """What the probabilities [B, actions] are for the logged actions [B]."""
    return probabilities[np.arange(len(batch.actions)), batch.actions]


def beside(
    stretch: Stretch, batch: Interactions, policies: list[SavedPolicy], guesses: np.ndarray
) -> list[tuple[Logged, np.ndarray]]:
    """The batch as each of the policies sees it, and its probabilities [B, actions].

    guesses [B, actions]: what a model expects of every action, in [0, 1].
    """
    propensity, seen = stretch.propensities(batch), []
    for policy in policies:
        target = policy.probabilities(batch.observations)
        logged = Logged(
            batch.rewards,
            propensity,
            of(target, batch),
            of(guesses, batch),
            (target * guesses).sum(axis=1),
            stretch.largest(policy),
        )
        seen.append((logged, target))
    return seen


def expected(policy: SavedPolicy, config: Config, observations: np.ndarray) -> np.ndarray:
    """What the policy's agent expects of every action [B, actions], scaled to [0, 1]."""
    low, high = config.environment.bounds
    return ((policy.agent.expected(policy.weights, observations) - low) / (high - low)).clip(0, 1)
