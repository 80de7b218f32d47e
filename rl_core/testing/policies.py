"""Policies for tests, trained on noise."""

import atexit
import functools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from banditloop.rl_core.agents import Agent, Batch, SequentialAgent
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Manifest, Window, read_manifest
from banditloop.rl_core.testing.planted import noise_episodes

START = datetime(2026, 1, 1, tzinfo=UTC)


def make_policy(
    folder: Path,
    generation: int = 1,
    seed: int = 0,
    dim: int = 20,
    actions: int = 20,
    until: datetime | None = None,
    agent: Agent | None = None,
    saved_model: bool = False,
) -> Manifest:
    """Write a policy trained on noise, of LinUCB by default. Each is trained once per process, then copied."""
    agent = agent or LinUCB()
    until = until or START + timedelta(days=generation)
    original = _trained_policy(generation, seed, dim, actions, until, agent, saved_model)
    shutil.copytree(original, folder, dirs_exist_ok=True)
    return read_manifest(folder)


@functools.cache
def _trained_policy(
    generation: int, seed: int, dim: int, actions: int, until: datetime, agent: Agent, saved_model: bool
) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="policy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    initial = agent.initial_statistics(dim, actions)
    if isinstance(agent, SequentialAgent):
        statistics = agent.update(initial, [noise_episodes(seed, 400, dim, actions)])
    else:
        statistics = agent.update(initial, [_interactions(seed, dim, actions)])
    manifest = Manifest(
        version=f"v{generation}-{seed:08x}",
        generation=generation,
        agent=agent.model_dump(),
        exploration=0.1,
        dim=dim,
        actions=actions,
        window=Window(until=until, interactions=400),
        interactions=400,
    )
    write_policy(folder, manifest, statistics, Encoding.of_vectors(dim, actions), saved_model)
    return folder


def _interactions(seed: int, dim: int, actions: int) -> Batch:
    random = np.random.default_rng(seed)
    observations = random.normal(size=(400, dim)).astype(np.float32)
    chosen, rewards, ids = random.integers(actions, size=400), random.normal(size=400), np.arange(400, dtype=np.uint64)
    return Batch(observations, chosen, rewards, propensities=np.full(400, 1 / actions), ids=ids)
