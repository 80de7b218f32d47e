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
    """The ids of chosen actions, and the features of every candidate that had any, by id."""

    ids: set[str] = field(default_factory=set)
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    _times: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What `write` wrote into a folder, if it did."""
        if not (folder / FILE).exists():
            return None
        content = orjson.loads((folder / FILE).read_bytes())
        return cls(set(content["ids"]), content["features"])

    def write(self, folder: Path) -> None:
        """Write ids and features into a folder."""
        (folder / FILE).write_bytes(orjson.dumps({"ids": sorted(self.ids), "features": self.features}))

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass interactions through unchanged and add their actions."""
        for batch in batches:
            self.ids.update(batch.column("action").unique().to_pylist())
            self._add_features(pa.table(batch))
            yield batch

    def _add_features(self, table: pa.Table) -> None:
        """Keep the latest features of every candidate; of several at one time, those of the greatest event id."""
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
        times = described["timestamp"].take(np.repeat(np.arange(described.num_rows), lengths)[last]).to_pylist()
        features = pc.list_flatten(described["candidate_features"]).take(last).to_pylist()
        for action, time, values in zip(ids.dictionary.to_pylist(), times, features, strict=True):
            if action not in self._times or time >= self._times[action]:
                self._times[action], self.features[action] = time, values
