"""A warehouse with episodes, steps of episodes, and their timeline as rows."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.events.transitions import transition_schema
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import Warehouse
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.backends.fixtures import Configure
from banditloop.rl_core.testing.events import TASK, decisions


def episodic(
    configure: Configure, task: Task = TASK, reward: Any = None, gate: Any = None, **section: Any
) -> Warehouse:
    """The warehouse of a config with this section `episodes`, whatever its agent learns from."""
    config = configure(task=task.model_dump(), reward=reward or {}, gate=gate or {})
    return connect(config.model_copy(update={"episodes": EpisodesSection(**section)})).warehouse


def steps(
    ids: list[str], episode: str | list[str], numbers: Sequence[int | None], mode: str = "simulated", **fields: Any
) -> pa.Table:
    """Decisions of steps with these numbers, of one episode or of several."""
    return decisions(ids, mode=mode, episode_id=episode, step=numbers, **fields)


def timeline(
    warehouse: Warehouse,
    task: Task = TASK,
    metrics: list[str] | None = None,
    window: Window | None = None,
    fold: Fold | None = None,
) -> list[dict[str, Any]]:
    """The transitions of a window, by default that of the whole log."""
    batches = warehouse.transitions(window or warehouse.window(None), fold)
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, transition_schema(task, metrics or [])).to_pylist()
    return rows
