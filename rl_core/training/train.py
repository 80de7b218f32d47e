"""Training: from a policy's statistics and new interactions to the next policy."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.agents import STATISTICS, Batch, Statistics, read_arrays
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.settings.section import digest


def resumable(config: Config, manifest: Manifest | None) -> bool:
    """Whether training can resume from this policy's statistics: same agent, same task. Else it reads the whole log."""
    return (
        manifest is not None and config.agent.can_resume_from(manifest.agent) and manifest.task == task_digest(config)
    )


def task_digest(config: Config) -> str:
    """Digest of the settings besides the agent that the statistics depend on.

    The hold-out fraction is one of them: held-out interactions must not be in the statistics.
    """
    sections = (config.environment, config.reward)
    return digest([*(section.model_dump(mode="json") for section in sections), config.gate.holdout_fraction])


def random_manifest(config: Config) -> Manifest:
    """The manifest of the uniformly random policy, the first champion of every loop."""
    return Manifest(
        version=RANDOM,
        generation=0,
        agent=config.agent.model_dump(mode="json"),
        task=task_digest(config),
        exploration=1.0,
        dim=config.environment.dim,
        actions=config.environment.actions,
        window=Window(until=datetime.fromtimestamp(0, UTC), interactions=0),
        interactions=0,
    )


def initial_statistics(config: Config, parent: Path | None) -> Statistics:
    """The statistics of a parent policy directory, or those of no interactions if parent is None."""
    dim, actions = config.environment.dim, config.environment.actions
    return read_arrays(parent / STATISTICS) if parent else config.agent.initial_statistics(dim, actions)


def train(config: Config, interactions: Iterable[pa.Table], statistics: Statistics) -> Statistics:
    """The statistics with the interactions added.

    Each table is sorted by event id, since a log has no order of its own: the result must not depend on how it is read.

    Raises:
        InvalidInput: an interaction does not fit the environment, or the trained statistics are not finite.
    """
    dim, actions = config.environment.dim, config.environment.actions
    tables = (table.sort_by("event_id") for table in interactions)
    batches = (Batch(*to_arrays(table, dim, actions), sample_weight(table)) for table in tables)
    statistics = config.agent.update(statistics, batches)
    if not all(np.isfinite(array).all() for array in statistics.values()):
        raise InvalidInput("interactions: the trained statistics are not finite; nothing was saved")
    return statistics


def to_arrays(table: pa.Table, dim: int, actions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations [B, dim], actions [B] and rewards [B] of interactions.

    Raises:
        InvalidInput: an observation or an action does not fit the environment; names the interaction.
    """
    lengths = pc.list_value_length(table["observation"]).to_numpy()
    indices = table["action"].to_numpy()
    invalid = (lengths != dim) | (indices >= actions)
    if invalid.any():
        row = int(np.argmax(invalid))
        raise InvalidInput(
            f"interaction {table['event_id'][row]}: an observation of {lengths[row]} numbers and "
            f"action {indices[row]}; the environment has observations of {dim} and actions 0 to {actions - 1}. "
            f"Give a changed environment its own backend.root"
        )
    observations = pc.list_flatten(table["observation"]).to_numpy().reshape(-1, dim)
    return observations, indices, table["reward"].to_numpy()


def sample_weight(table: pa.Table) -> np.ndarray | None:
    """Inverse logging probability per interaction [B], or None if everything was logged."""
    pass_probability = table["pass_probability"].to_numpy()
    return None if (pass_probability == 1).all() else 1 / pass_probability


def next_manifest(config: Config, window: Window, parent: Manifest | None, run_id: str) -> Manifest:
    """The manifest of the policy that a training produces. The same training always gets the same version."""
    generation = parent.generation + 1 if parent else 1
    agent = config.agent.model_dump(mode="json")
    identity = [parent and parent.version, config.to_dict(), window.model_dump(mode="json")]
    return Manifest(
        version=f"v{generation}-{digest(identity)}",
        parent=parent.version if parent else None,
        generation=generation,
        agent=agent,
        task=task_digest(config),
        exploration=config.policy.exploration,
        dim=config.environment.dim,
        actions=config.environment.actions,
        window=window,
        interactions=window.interactions + (parent.interactions if parent else 0),
        seed=agent.get("seed"),
        run=run_id,
    )
