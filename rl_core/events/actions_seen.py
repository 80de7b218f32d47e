"""The actions that interactions were about: their ids, and the latest features of candidates."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

FILE = "actions.json"
Batch = TypeVar("Batch", pa.Table, pa.RecordBatch)


@dataclass
class ActionsSeen:
    """The ids of chosen actions, and the latest features of every candidate that had any, by id.

    described: the time and the id of the decision that the features of each are of: of several at one time, the one of
    the greatest id, so that the order of reading does not matter.
    """

    ids: set[str] = field(default_factory=set)
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    described: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What `write` wrote into a folder, if it did."""
        if not (folder / FILE).exists():
            return None
        content = orjson.loads((folder / FILE).read_bytes())
        described = content.get("described", {}).items()
        by = {action: (datetime.fromisoformat(time), event_id) for action, (time, event_id) in described}
        return cls(set(content["ids"]), content["features"], by)

    @classmethod
    def of(cls, parts: Iterable[Self]) -> Self:
        """What was seen in any of some parts of the interactions."""
        whole = cls()
        for part in parts:
            whole.ids |= part.ids
            for action, values in part.features.items():
                whole._keep(action, part.described[action], values)
        return whole

    def write(self, folder: Path) -> None:
        """Write what was seen into a folder."""
        content = {"ids": sorted(self.ids), "features": self.features, "described": self.described}
        (folder / FILE).write_bytes(orjson.dumps(content))

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass interactions through unchanged and add their actions."""
        for batch in batches:
            self.ids.update(batch.column("action").unique().to_pylist())
            self._add_features(pa.table(batch))
            yield batch

    def _add_features(self, table: pa.Table) -> None:
        """Keep the latest features of every candidate."""
        lengths = pc.list_value_length(table["candidate_features"]).fill_null(0)
        aligned = pc.equal(lengths, pc.list_value_length(table["candidates"]))
        order = [("timestamp", "ascending"), ("event_id", "ascending")]
        described = table.filter(pc.and_(aligned, pc.greater(lengths, 0))).sort_by(order)
        if not described.num_rows:
            return
        lengths = pc.list_value_length(described["candidate_features"]).to_numpy()
        ids = pc.list_flatten(described["candidates"]).combine_chunks().dictionary_encode()
        last = np.zeros(len(ids.dictionary), int)
        np.maximum.at(last, ids.indices.to_numpy(), np.arange(len(ids)))
        rows = np.repeat(np.arange(described.num_rows), lengths)[last]
        times, event_ids = (described[name].take(rows).to_pylist() for name in ("timestamp", "event_id"))
        features = pc.list_flatten(described["candidate_features"]).take(last).to_pylist()
        for action, time, event_id, values in zip(ids.dictionary.to_pylist(), times, event_ids, features, strict=True):
            self._keep(action, (time, event_id), values)

    def _keep(self, action: str, by: tuple[datetime, str], values: dict[str, Any]) -> None:
        if action not in self.described or by >= self.described[action]:
            self.described[action], self.features[action] = by, values
