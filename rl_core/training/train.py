"""Training: from a policy's statistics and new interactions to the next policy's statistics."""

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.agents import (
    ACTION_FEATURES,
    STATISTICS,
    Agent,
    Batch,
    Statistics,
    check_shapes,
    mergeable,
    read_arrays,
)
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import action_positions, logged_candidates, logged_ids
from banditloop.rl_core.features.encoder import Encoder
from banditloop.rl_core.features.encoding import Encoding


def initial_statistics(config: Config, encoding: Encoding, parent: Path | None) -> Statistics:
    """The statistics to train from, in the shape of an encoding: those of a parent policy directory, or of no data."""
    actions = len(encoding.action_ids)
    if parent is None:
        return config.agent.initial_statistics(encoding.context.dim, actions)
    known, statistics = Encoding.read(parent).action_ids, read_arrays(parent / STATISTICS)
    statistics.pop(ACTION_FEATURES, None)
    expected = config.agent.initial_statistics(encoding.context.dim, len(known))
    check_shapes(parent / STATISTICS, statistics, expected)
    statistics = config.agent.resumed(statistics)
    return config.agent.with_actions(statistics, actions) if actions > len(known) else statistics


def with_action_features(statistics: Statistics, encoding: Encoding) -> Statistics:
    """The statistics with the features of the actions [actions, k], if they have any, from which agents may start."""
    matrix = encoding.feature_matrix()
    return statistics if matrix is None else statistics | {ACTION_FEATURES: matrix}


def train(
    config: Config,
    encoding: Encoding,
    interactions: Iterable[pa.Table],
    statistics: Statistics,
    before: Statistics | None = None,
) -> Statistics:
    """The statistics with the interactions added.

    Where the order matters, each table is sorted by event id, since a log has no order of its own: the result must not
    depend on how it is read.

    before: for a shard whose agent learns from them, the statistics that the whole training resumes from; `statistics`
    may then be changed in place.

    Raises:
        InvalidInput: an interaction does not fit the encoding, or the trained statistics are not finite.
    """
    agent, merging = config.agent, mergeable(config.agent)
    tables = interactions if merging else (table.sort_by("event_id") for table in interactions)
    batches = (batch(table, encoding, agent.learns_from_eligible, agent.learns_from_ids) for table in tables)
    if merging and before is not None:
        return finite(merging.add(statistics, batches, before))
    return finite(agent.update(statistics, batches))


def learned_columns(agent: Agent) -> tuple[str, ...]:
    """The columns of interactions that an agent is trained on."""
    eligible = ("candidates", "probabilities") if agent.learns_from_eligible else ()
    return "event_id", "context", "action", "propensity", "logging_probability", "reward", *eligible


def finite(statistics: Statistics) -> Statistics:
    """Trained statistics. InvalidInput: they are not finite."""
    if not all(np.isfinite(array).all() for array in statistics.values()):
        raise InvalidInput("interactions: the trained statistics are not finite; nothing was saved")
    return statistics


def batch(table: pa.Table, encoding: Encoding, with_eligible: bool = False, with_ids: bool = True) -> Batch:
    """The interactions of a table, as agents learn from them.

    with_eligible: with the actions that could be chosen. with_ids: with a number for each interaction.

    Raises:
        InvalidInput: as `to_arrays` does.
    """
    return Batch(
        *to_arrays(table, encoding),
        sample_weight(table),
        table["propensity"].to_numpy(),
        _numbers(table["event_id"]) if with_ids else None,
        eligible_actions(table, encoding.action_ids) if with_eligible else None,
    )


def _numbers(event_ids: pa.ChunkedArray) -> np.ndarray:
    return np.fromiter(map(zlib.crc32, event_ids.cast(pa.binary()).to_pylist()), np.uint64, len(event_ids))


def eligible_actions(table: pa.Table, action_ids: Sequence[str]) -> np.ndarray | None:
    """The actions of an encoding that each decision of a table could take, bool [B, actions]; None: all of them."""
    ids = logged_ids(table)
    position, unknown = {action: i for i, action in enumerate(ids)}, np.zeros((table.num_rows, 1), bool)
    mask = np.hstack([logged_candidates(table, ids).mask(table.num_rows), unknown])
    eligible = mask[:, [position.get(action, -1) for action in action_ids]]
    return None if eligible.all() else eligible


def to_arrays(table: pa.Table, encoding: Encoding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations [B, dim], positions of the actions [B] and rewards [B] of interactions.

    Raises:
        InvalidInput: a context or an action does not fit the encoding; names the interaction.
    """
    actions = action_positions(table, encoding.action_ids)
    if (actions < 0).any():
        row = int(np.argmin(actions))
        raise InvalidInput(f"interaction {table['event_id'][row]}: unknown action {table['action'][row]}")
    return encoding.context.encode(checked_contexts(table, encoding.context)), actions, table["reward"].to_numpy()


def checked_contexts(table: pa.Table, encoder: Encoder, column: str = "context") -> pa.StructArray:
    """The contexts in a column of a table in one array. A vector is missing in rows from before the task had it.

    Raises:
        InvalidInput: a vector has another length than the encoder's; names the interaction.
    """
    arrays = contexts(table, column)
    for feature in encoder.vectors:
        lengths = pc.list_value_length(arrays.field(feature.name)).fill_null(0).to_numpy()
        wrong = (lengths != feature.length) & (lengths > 0)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InvalidInput(
                f"interaction {table['event_id'][row]}: {column}.{feature.name} has {lengths[row]} numbers; the task's "
                f"have {feature.length}. Give a changed task its own backend.root, or rename the feature"
            )
    return arrays


def contexts(table: pa.Table, column: str = "context") -> pa.StructArray:
    """The contexts in a column of a table in one array."""
    return table[column].combine_chunks() if table.num_rows else pa.array([], table.schema.field(column).type)


def sample_weight(table: pa.Table) -> np.ndarray | None:
    """Inverse logging probability per interaction [B], or None if everything was logged."""
    logging_probability = table["logging_probability"].to_numpy()
    return None if (logging_probability == 1).all() else 1 / logging_probability
