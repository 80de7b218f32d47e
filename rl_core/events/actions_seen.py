"""The actions seen in interactions: the ids of those chosen, and the latest features of candidates."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.schema import MIN_TIME

FILE = "actions.json"
OLDEST = MIN_TIME, ""  # the decision that features come from whose decision is not known
Batch = TypeVar("Batch", pa.Table, pa.RecordBatch)


@dataclass
class ActionsSeen:
    """The ids of chosen actions, and the latest features of every candidate that had any, by id.

    described: time and id of the decision that the features of each action come from. Of several decisions at one time,
    that with the greatest id counts, so that the order of reading does not matter.
    """

    ids: set[str] = field(default_factory=set)
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    described: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The actions that `write` wrote into a folder; None if there are none."""
        if not (folder / FILE).exists():
            return None
        content = orjson.loads((folder / FILE).read_bytes())
        decisions = content.get("described", {}).items()  # older files lack them
        known = {action: (datetime.fromisoformat(time), event_id) for action, (time, event_id) in decisions}
        return cls(set(content["ids"]), content["features"], dict.fromkeys(content["features"], OLDEST) | known)

    @classmethod
    def of(cls, parts: Iterable[Self]) -> Self:
        """The actions seen in any of several parts of the interactions."""
        whole = cls()
        for part in parts:
            whole.ids |= part.ids
            for action, values in part.features.items():
                whole._keep(action, part.described[action], values)
        return whole

    def write(self, folder: Path) -> None:
        """Write the actions into a folder."""
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

    def _keep(self, action: str, decision: tuple[datetime, str], values: dict[str, Any]) -> None:
        if action not in self.described or decision >= self.described[action]:
            self.described[action], self.features[action] = decision, values
