"""Training: a policy's statistics plus new interactions make the next policy."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rl_core.agents import STATISTICS, Arrays, Batch, read_arrays
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.manifest import RANDOM, Manifest, Window
from rl_core.sections import digest


def resumable(config: Config, manifest: Manifest | None) -> bool:
    """Whether training can go on from this policy's statistics: same agent, same task. Else all history is read."""
    return manifest is not None and config.agent.resumes(manifest.agent) and manifest.task == task(config)


def task(config: Config) -> str:
    """A digest of what the statistics depend on besides the interactions. What is held out must not be in them."""
    sections = (config.environment, config.reward)
    return digest([*(section.model_dump(mode="json") for section in sections), config.gate.held_out])


def random_manifest(config: Config) -> Manifest:
    """The manifest of the policy that chooses uniformly, with which every loop begins."""
    return Manifest(
        version=RANDOM,
        generation=0,
        agent=config.agent.model_dump(mode="json"),
        task=task(config),
        exploration=1.0,
        dim=config.environment.dim,
        actions=config.environment.actions,
        window=Window(until=datetime.fromtimestamp(0, UTC), interactions=0),
        interactions=0,
    )


def start(config: Config, parent: Path | None) -> Arrays:
    """The statistics of `parent`, a policy directory, or None to start anew."""
    dim, actions = config.environment.dim, config.environment.actions
    return read_arrays(parent / STATISTICS) if parent else config.agent.start(dim, actions)


def train(config: Config, interactions: Iterable[pa.Table], statistics: Arrays) -> Arrays:
    """The statistics with the interactions added, those of a table in the order of their ids: a log has none."""
    dim, actions = config.environment.dim, config.environment.actions
    tables = (table.sort_by("event_id") for table in interactions)
    batches = (Batch(*columns(table, dim, actions), stands_for(table)) for table in tables)
    statistics = config.agent.learn(statistics, batches)
    if not all(np.isfinite(array).all() for array in statistics.values()):
        raise InvalidInput("interactions: what they come to is not finite; nothing was trained")
    return statistics


def columns(table: pa.Table, dim: int, actions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """observations [B, dim], actions [B] and rewards [B] of interactions, or InvalidInput where they do not fit."""
    lengths = pc.list_value_length(table["observation"]).to_numpy()
    chosen = table["action"].to_numpy()
    bad = (lengths != dim) | (chosen >= actions)
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidInput(
            f"interaction {table['event_id'][row]}: an observation of {lengths[row]} numbers and action {chosen[row]}; "
            f"the environment has observations of {dim} and actions 0 to {actions - 1}. "
            f"Give a changed environment a backend.root of its own"
        )
    observations = pc.list_flatten(table["observation"]).to_numpy().reshape(-1, dim)
    return observations, chosen, table["reward"].to_numpy()


def stands_for(table: pa.Table) -> np.ndarray | None:
    """How many decisions each of the interactions [B] stands for, of which the others were not logged; None: itself."""
    passed = table["pass_probability"].to_numpy()
    return None if (passed == 1).all() else 1 / passed


def next_manifest(config: Config, window: Window, parent: Manifest | None, run_id: str) -> Manifest:
    """The manifest of the policy that this training makes. The same training always makes the same version."""
    generation = parent.generation + 1 if parent else 1
    agent = config.agent.model_dump(mode="json")
    identity = [parent and parent.version, config.to_dict(), window.model_dump(mode="json")]
    return Manifest(
        version=f"v{generation}-{digest(identity)}",
        parent=parent.version if parent else None,
        generation=generation,
        agent=agent,
        task=task(config),
        exploration=config.policy.exploration,
        dim=config.environment.dim,
        actions=config.environment.actions,
        window=window,
        interactions=window.interactions + (parent.interactions if parent else 0),
        seed=agent.get("seed"),
        run=run_id,
    )
