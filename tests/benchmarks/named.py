"""A task of ten named features with fifty candidates, and a policy of it."""

import random
from pathlib import Path

import numpy as np

from banditloop.rl_core.agents import Batch
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.settings.task import Task
from tests.benchmarks.load import named_context
from tests.conftest import START

ROWS, CANDIDATES = 5_000, 50
TASK = Task.parse(
    {
        "actions": [f"article-{number}" for number in range(CANDIDATES)],
        "context": {
            "age": "number",
            "visits": "number",
            "hour": "number",
            "member": "boolean",
            "returning": "boolean",
            "device": ["phone", "tablet", "desktop"],
            "country": "category",
            "referrer": "category",
            "interests": "categories",
            "history": {"vector": 6},
        },
    }
)


def contexts(rows: int) -> list[dict[str, object]]:
    """Random contexts."""
    draws = random.Random(0)
    return [named_context(draws) for _ in range(rows)]


def make_named_policy(folder: Path) -> None:
    """Write a LinUCB policy trained on noise, with an encoder fitted to random contexts."""
    draws, rows = np.random.default_rng(0), contexts(ROWS)
    array = context_array(TASK, {name: [row[name] for row in rows] for name in TASK.context})
    encoding = Encoding.unfitted(TASK)
    encoding = encoding.model_copy(update={"context": encoding.context.fit(array)})
    agent, dim = LinUCB(), encoding.context.dim
    batch = Batch(encoding.context.encode(array), draws.integers(CANDIDATES, size=ROWS), draws.normal(size=ROWS))
    manifest = Manifest(
        version="v1-00000000",
        generation=1,
        agent=agent.model_dump(),
        exploration=0.1,
        dim=dim,
        actions=CANDIDATES,
        window=Window(until=START, interactions=ROWS),
        interactions=ROWS,
    )
    write_policy(folder, manifest, agent.update(agent.initial_statistics(dim, CANDIDATES), [batch]), encoding)
