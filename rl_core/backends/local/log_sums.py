"""Sums over the log: sums per policy version and counts by outcome, which can be added and subtracted.

Decisions and rewards of one event id affect no others. So the sums are updated for events with new rows only: their
former share is subtracted, and their present one added.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.schema import TIME

COUNTS = (
    "interactions",
    "rewarded",  # interactions with at least one reward
    "ignored",
    "shadowed",
)
WEIGHTED = (
    "weighted_reward",  # sum of the interactions' reward / logging_probability
    "weight",  # sum of their 1 / logging_probability
)
VERSION_SUMS = pa.schema(  # one row per policy version
    [
        ("version", pa.string()),
        ("first", TIME),  # logged_at of its first decision
        *((name, pa.int64()) for name in COUNTS),
        *((name, pa.float64()) for name in WEIGHTED),
    ]
)
NONE, UNKNOWN = pa.scalar(0, pa.int64()), pa.scalar(None, pa.float64())  # untyped ones import slowly
TOTALS = ("version", "interactions", "rewarded", "mean_reward", "ignored", "shadowed")


class LogSums(NamedTuple):
    """Sums over some events of the log. In columns, since ten thousand versions are many objects."""

    versions: pa.Table = VERSION_SUMS.empty_table()
    outcomes: Mapping[str, int] = {}  # of decisions and rewards, by the names of LogCounts

    def plus(self, change: Self) -> "LogSums":
        """These sums plus a change, which may be negative."""
        is_changed = pc.is_in(self.versions["version"], change.versions["version"])
        rows = self.versions.filter(is_changed).to_pylist() + change.versions.to_pylist()
        changed = pa.Table.from_pylist(_one_per_version(rows), VERSION_SUMS)
        outcomes = Counter(self.outcomes)
        outcomes.update(change.outcomes)
        return LogSums(pa.concat_tables([self.versions.filter(pc.invert(is_changed)), changed]), outcomes)

    def totals(self, versions: Collection[str] | None = None) -> list[dict[str, Any]]:
        """The rows of `Warehouse.policy_totals`."""
        table = self.versions
        if versions is not None:
            table = table.filter(pc.is_in(table["version"], pa.array(versions, pa.string())))
        table = table.sort_by([("first", "ascending"), ("version", "ascending")])
        weight = pc.if_else(pc.equal(table["interactions"], NONE), UNKNOWN, table["weight"])
        table = table.append_column("mean_reward", pc.divide(table["weighted_reward"], weight))
        columns = (table[name].to_pylist() for name in TOTALS)
        return [dict(zip(TOTALS, row, strict=True)) for row in zip(*columns, strict=True)]


def _one_per_version(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of each version added up. They are few, and pyarrow's grouping takes longer to import."""
    sums: dict[str, dict[str, Any]] = {}
    for row in rows:
        total = sums.setdefault(row["version"], row)
        if total is not row:
            total |= {name: total[name] + row[name] for name in COUNTS + WEIGHTED}
            total["first"] = min(total["first"], row["first"])
    return [*sums.values()]
