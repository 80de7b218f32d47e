"""What a look at the log adds up: sums per policy version and counts by outcome, which can be added and subtracted.

Decisions and rewards of one event id concern no others. So the sums over the log are those of before, less those over
the events that have got new rows as they were, plus those over the same events as they are.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Self


class VersionSums(NamedTuple):
    """Sums over the decisions of one policy version."""

    first: datetime  # logged_at of its first decision
    interactions: int = 0
    rewarded: int = 0  # interactions with at least one reward
    ignored: int = 0
    shadowed: int = 0
    weighted_reward: float = 0.0  # sum of the interactions' reward / logging_probability
    weight: float = 0.0  # sum of their 1 / logging_probability

    def plus(self, other: "VersionSums", sign: int) -> "VersionSums":
        """The sums with those of other decisions of the version added (sign 1) or taken out (-1)."""
        return VersionSums(
            min(self.first, other.first),
            self.interactions + sign * other.interactions,
            self.rewarded + sign * other.rewarded,
            self.ignored + sign * other.ignored,
            self.shadowed + sign * other.shadowed,
            self.weighted_reward + sign * other.weighted_reward,
            self.weight + sign * other.weight,
        )

    def total(self, version: str) -> dict[str, Any]:
        """The row of `Warehouse.policy_totals`."""
        return {
            "version": version,
            "interactions": self.interactions,
            "rewarded": self.rewarded,
            "mean_reward": self.weighted_reward / self.weight if self.interactions else None,
            "ignored": self.ignored,
            "shadowed": self.shadowed,
        }


class LogSums(NamedTuple):
    """Sums over some events of the log."""

    versions: Mapping[str, VersionSums] = {}
    outcomes: Mapping[str, int] = {}  # of decisions and rewards, by the names of LogCounts

    def plus(self, other: Self, sign: int = 1) -> "LogSums":
        """The sums with those over other events added (sign 1) or taken out (-1)."""
        versions = dict(self.versions)
        for version, sums in other.versions.items():
            versions[version] = versions.get(version, VersionSums(sums.first)).plus(sums, sign)
        outcomes = Counter(self.outcomes)
        outcomes.update({name: sign * count for name, count in other.outcomes.items()})
        return LogSums(versions, outcomes)

    def totals(self) -> list[dict[str, Any]]:
        """The rows of `Warehouse.policy_totals`."""
        ordered = sorted(self.versions.items(), key=lambda item: (item[1].first, item[0]))
        return [sums.total(version) for version, sums in ordered]
