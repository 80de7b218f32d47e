"""Shared by all tests: a config with its own root, events, policies, and the order of the test files."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import synthetic
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.ports import Endpoint
from banditloop.rl_core.promotion.transitions import promote
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.events import decisions as decisions
from banditloop.rl_core.testing.events import rewards as rewards
from banditloop.rl_core.testing.planted import assert_same as assert_same
from banditloop.rl_core.testing.policies import START
from banditloop.rl_core.testing.policies import make_policy as make_policy

# No test depends on the machine's speed.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

SLOWEST_FILES = (  # started first, so that no worker still runs one of them at the end
    "test_fuzz",
    "ports/test_log",
    "test_containers",
    "test_own_problem",
    "test_promotion_decision",
    "e2e/test_docs",
    "test_other_problems",
    "google/test_loop",
    "e2e/test_loop",
    "test_warehouse",
    "test_release",
    "test_crashes",
)
FOLDER_MARKERS = {"google": "cloud", "containers": "container", "e2e": "slow"}  # marker of all tests in a folder
AGENTS = [
    LinUCB(),
    NeuralEpsilonGreedy(epochs=1),
    LinearThompson(),
]  # one of each kind, for what must hold for every policy


EVERY_KIND = {  # features of a context, one of each kind
    "age": "number",
    "member": "boolean",
    "country": "category",
    "device": ["phone", "tablet"],
    "interests": "categories",
    "history": {"vector": 2},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the marker of each test's folder, and sort the slowest files first."""
    for item in items:
        if marker := FOLDER_MARKERS.get(item.path.parent.name):
            item.add_marker(marker)
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))
    items.sort(key=_order)


def _order(item: pytest.Item) -> int:
    name = item.path.with_suffix("").as_posix()
    return next((position for position, file in enumerate(SLOWEST_FILES) if name.endswith(file)), len(SLOWEST_FILES))


def make_config(root: Path, **sections: dict[str, Any]) -> Config:
    """A config for tests: all files are under `root`; `sections` override the defaults.

    Trainers write no SavedModel of a linear policy, which costs seconds and which nothing here reads.
    """
    values: dict[str, Any] = {"environment": {"name": "movielens"}, "agent": {"name": "linucb"}}
    values["policy"] = {"saved_model": False}
    backend = {"root": str(root / "loop")}
    retraining = {"template": str(root / "pipelines" / "retraining.yaml")}
    for name, section in ({"backend": backend, "retraining": retraining} | sections).items():
        values[name] = values.get(name, {}) | section
    values["retraining"] = retraining | values["retraining"]
    return Config.parse(values)


@pytest.fixture(scope="session", autouse=True)
def no_bare_imports():
    """Imports without `banditloop.` succeed in the repository's root, but with a second copy of every registry."""
    yield
    bare = {name.partition(".")[0] for name in sys.modules} & {"rl_core", "components", "functions", "pipelines"}
    assert not bare, f"imported without `banditloop.`: {bare}"


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory):
    """The scratch folders of the Google backend are the session's."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


def vector_task(dim: int = 20, actions: int = 20) -> Task:
    """A task of plain vectors and numbered actions, as that of MovieLens."""
    return synthetic.vector_task(dim, actions, 0.0, 5.0)


def vector_decisions(event_ids: list[str], **fields: Any) -> pa.Table:
    """Decisions of a uniform policy for the task of plain vectors."""
    shares = {"propensity": 1 / 20, "probabilities": [[1 / 20] * 20] * len(event_ids)}
    return decisions(event_ids, task=vector_task(), context={"observation": [1.0] * 20}, **shares | fields)


def random_interactions(rows: int, dim: int = 20, actions: int = 20) -> pa.Table:
    """Random interactions with `dim` features and `actions` actions."""
    random = np.random.default_rng(0)
    task = vector_task(dim, actions)
    decisions = decision_table(
        task,
        event_id=[str(row) for row in range(rows)],
        timestamp=START,
        policy_version="v",
        context=context_array(task, {"observation": random.normal(size=(rows, dim)).astype(np.float32)}),
        action=[str(action) for action in random.integers(actions, size=rows)],
        propensity=1 / actions,
        probabilities=[[1 / actions] * actions] * rows,
        logging_probability=0.5,
    )
    rewards = pa.array(random.normal(size=rows))
    return decisions.append_column("reward", rewards).cast(interaction_schema(task))


def deploy(endpoint: Endpoint, folder: Path) -> str:
    """Add the policy in `folder` and promote it; returns its version."""
    version = endpoint.add(folder)
    promote(endpoint, version)
    return version
