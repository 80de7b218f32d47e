"""The regret of an agent while it learns: served, a tenth held out, retrained as the trigger would, ungated.

`make bench-learn` measures the default agent; other agents and libraries by
`python -m tests.benchmarks.learn TASK AGENT ...`, where an agent is one of AGENTS, `before` or a library.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec

from banditloop.rl_core.agents import AGENTS, Agent, LinUCB
from banditloop.rl_core.config import Config
from banditloop.rl_core.settings.registry import registered
from tests.benchmarks.learning.deciders import Decider, OurDecider
from tests.benchmarks.learning.peers import PEERS
from tests.benchmarks.learning.served import regret
from tests.benchmarks.learning.tasks import TASKS, LearningTask
from tests.benchmarks.ratio import Row, at_most

SEEDS, FLOOR = 5, 0.01
BEFORE = "before"  # of 0.4: LinUCB with exploration .05, retrained every 500 interactions
DEFAULT = "default"


def rows() -> list[Row]:
    return [measure(task, DEFAULT) for task in TASKS if task.package is None or find_spec(task.package)]


def measure(task: LearningTask, name: str) -> Row:
    """The regret an interaction of an agent or library by name: the median of the seeds."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        values = list(pool.map(partial(_regret, task.name, name), range(SEEDS)))
    return at_most(f"learn: {task.name}, {name}", values, "regret", task.target)


def _regret(task_name: str, name: str, seed: int) -> float:
    [task] = (task for task in TASKS if task.name == task_name)
    if name == BEFORE:
        return regret(task, OurDecider(LinUCB()), seed, 0.05, lambda learned_from: 500)
    return regret(task, _decider(name), seed, FLOOR)


def _decider(name: str) -> Decider:
    if name in PEERS:
        return PEERS[name]()
    agent = Config.model_fields["agent"].default
    return OurDecider(agent if name == DEFAULT else registered(AGENTS, Agent, {"name": name}, "agent"))


def main(pattern: str, *names: str) -> None:
    """Print the regret of agents and libraries on the tasks whose name has the pattern."""
    for task in TASKS:
        if pattern.lower() in task.name.lower():
            for name in names:
                row = measure(task, name)
                print(f"{row.name:50} {row.value:.3f} ({row.min:.3f} to {row.max:.3f})", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
