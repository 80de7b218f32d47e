"""What tests share: a config with a root of its own, and events."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rl_core.agents import Agent, Arrays, Batch, LinUCB, NeuralEpsilonGreedy
from rl_core.backends import Endpoint
from rl_core.backends.releasing import promote
from rl_core.config import Config
from rl_core.manifest import Manifest, Window
from rl_core.policy import write_policy
from rl_core.schema import DECISION, INTERACTION, REWARD

LONGEST = (
    "test_containers",
    "test_readme",
    "test_google_loop",
    "test_loop",
    "test_warehouse",
    "test_release",
    "test_crashes",
)
AGENTS = [LinUCB(), NeuralEpsilonGreedy(epochs=1)]  # for what must hold of every kind of policy
START = datetime(2026, 1, 1, tzinfo=UTC)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one of them at the end."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def make_config(root: Path, **sections: dict[str, Any]) -> Config:
    """A config for tests: everything under `root`, some sections other than usual."""
    values: dict[str, Any] = {"environment": {"name": "movielens"}, "agent": {"name": "linucb"}}
    backend = {"root": str(root / "loop")}
    trigger = {"template": str(root / "pipelines" / "retraining.yaml")}
    for name, section in ({"backend": backend, "trigger": trigger} | sections).items():
        values[name] = values.get(name, {}) | section
    values["trigger"] = trigger | values["trigger"]
    return Config.parse(values)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


def decisions(
    event_ids: list[str], version: str = "v1-a", at: datetime | None = None, mode: str = "online"
) -> pa.Table:
    rows = [
        {
            "event_id": event_id,
            "timestamp": at or datetime.now(UTC),
            "policy_version": version,
            "observation": [1.0, 2.0],
            "action": 0,
            "propensity": 0.5,
            "probabilities": [0.5, 0.5],
            "mode": mode,
            "pass_probability": 1.0,
        }
        for event_id in event_ids
    ]
    return pa.Table.from_pylist(rows, DECISION)


def rewards(
    event_ids: list[str], reward: float = 1.0, at: datetime | None = None, source_id: str = "", name: str = "reward"
) -> pa.Table:
    rows = [
        {
            "event_id": event_id,
            "name": name,
            "value": reward,
            "timestamp": at or datetime.now(UTC),
            "source_id": source_id,
        }
        for event_id in event_ids
    ]
    return pa.Table.from_pylist(rows, REWARD)


def random_interactions(rows: int, dim: int = 20, actions: int = 20) -> pa.Table:
    """What a policy of that shape might have met."""
    random = np.random.default_rng(0)
    met = [
        {
            "event_id": str(row),
            "timestamp": START,
            "policy_version": "v",
            "observation": random.normal(size=dim).tolist(),
            "action": int(random.integers(actions)),
            "propensity": 1 / actions,
            "probabilities": [1 / actions] * actions,
            "mode": "online",
            "pass_probability": 0.5,
            "reward": float(random.normal()),
        }
        for row in range(rows)
    ]
    return pa.Table.from_pylist(met, INTERACTION)


def assert_same(left: Arrays, right: Arrays) -> None:
    """The same statistics, up to rounding."""
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-9, atol=1e-9)


def deploy(endpoint: Endpoint, folder: Path) -> str:
    """Add a policy and let it answer everybody."""
    version = endpoint.add(folder)
    promote(endpoint, version)
    return version


def make_policy(
    folder: Path,
    generation: int = 1,
    seed: int = 0,
    dim: int = 20,
    actions: int = 20,
    until: datetime | None = None,
    agent: Agent | None = None,
) -> Manifest:
    """Write a policy trained on noise, LinUCB's where nothing else is said."""
    random, agent = np.random.default_rng(seed), agent or LinUCB()
    observations = random.normal(size=(400, dim)).astype(np.float32)
    batch = Batch(observations, random.integers(actions, size=400), random.normal(size=400))
    statistics = agent.learn(agent.start(dim, actions), [batch])
    manifest = Manifest(
        version=f"v{generation}-{seed:08x}",
        generation=generation,
        agent=agent.model_dump(),
        exploration=0.1,
        dim=dim,
        actions=actions,
        window=Window(until=until or START + timedelta(days=generation), interactions=400),
        interactions=400,
    )
    return write_policy(folder, manifest, statistics)
