"""Transitions of episodes, from their decisions in order: whole episodes, each row with what came next."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.rl_core.events.null_lists import filled, without_null_lists
from banditloop.rl_core.events.transitions import transition_schema
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task

NEXT = {  # the column of the next decision's value, by the column of the decision's own
    "context": "next_context",
    "action": "next_action",
    "candidates": "next_candidates",
    "candidate_features": "next_candidate_features",
}


def transitions_of(
    batches: Iterable[pa.RecordBatch], task: Task, episodes: EpisodesSection, reward: RewardSection
) -> Iterator[pa.RecordBatch]:
    """The transitions of decisions in order, in batches of whole episodes.

    The decisions have columns `ordinal`, `is_terminal`, whether the episode ends with them, and value_0, value_1, …:
    the aggregated rewards by the names of `value_names`, null where there is none.
    """
    schema = transition_schema(task, episodes.metrics)
    for batch in _whole_episodes(batches):
        columns = _decided(batch, schema) | _rewards(batch, episodes, reward)
        columns |= _order(batch) | _following(columns, batch)
        yield pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _whole_episodes(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of some batches, in batches that each end with an episode."""
    rest: list[pa.RecordBatch] = []  # rows of an episode that the next batch may continue
    for batch in batches:
        starts = np.flatnonzero(batch["ordinal"].to_numpy() == 0)
        if not len(starts):
            rest.append(batch)
            continue
        whole = pa.concat_batches([*rest, batch.slice(0, starts[-1])])
        rest = [batch.slice(starts[-1])]
        if whole.num_rows:
            yield whole
    if rest:
        yield pa.concat_batches(rest)


def _decided(batch: pa.RecordBatch, schema: pa.Schema) -> dict[str, pa.Array]:
    """The decisions' own columns."""
    names = [name for name in schema.names if name in batch.schema.names]
    typed = batch.select(names).cast(pa.schema([schema.field(name) for name in names]))
    return dict(zip(names, without_null_lists(typed).columns, strict=True))


def _rewards(batch: pa.RecordBatch, episodes: EpisodesSection, reward: RewardSection) -> dict[str, pa.Array]:
    names = episodes.value_names(reward.name)
    values = {name: batch[f"value_{place}"].cast(pa.float64()) for place, name in enumerate(names)}
    weights = episodes.weights(reward.name)
    parts = [weight * values[name].fill_null(reward.default).to_numpy() for name, weight in weights.items()]
    metrics = {name: values[name] for name in episodes.metrics}
    fields = [pa.field(name, pa.float64()) for name in metrics]
    columns: dict[str, pa.Array] = {"reward": pa.array(np.sum(parts, axis=0))}
    return columns | ({"metrics": pa.StructArray.from_arrays(list(metrics.values()), fields=fields)} if metrics else {})


def _order(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Where each decision stands in its episode, and how the last one ends it."""
    starts, is_last, steps = _starts(batch), _is_last(batch), batch["step"].to_numpy()
    following = np.where(is_last, steps, np.roll(steps, -1))
    is_terminal = is_last & batch["is_terminal"].to_numpy(zero_copy_only=False)
    return {
        "ordinal": batch["ordinal"].cast(pa.int32()),
        "steps_to_next": pa.array((following - steps).astype(np.int32)),
        "steps_since_first": pa.array((steps - steps[np.flatnonzero(starts)][starts.cumsum() - 1]).astype(np.int32)),
        "terminal": pa.array(is_terminal),
        "truncated": pa.array(is_last & ~is_terminal),
    }


def _following(columns: dict[str, Any], batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The next decision of the same episode; null, or an empty list, at its last decision."""
    rows = pa.array(np.arange(1, batch.num_rows + 1), mask=_is_last(batch))
    columns_after = {following: columns[name].take(rows) for name, following in NEXT.items()}
    return {name: filled(values) if pa.types.is_list(values.type) else values for name, values in columns_after.items()}


def _starts(batch: pa.RecordBatch) -> np.ndarray:
    return batch["ordinal"].to_numpy() == 0


def _is_last(batch: pa.RecordBatch) -> np.ndarray:
    return np.append(_starts(batch)[1:], True)
