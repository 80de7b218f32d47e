"""The regret of an agent while it learns: served, a tenth held out, retrained as the trigger would, ungated.

`make bench-learn` measures the default agent; other agents and libraries by
`python -m tests.benchmarks.learn TASK AGENT ...`, where an agent is one of AGENTS, as `'linucb {"alpha": 0.5}'` with
other settings than its own, `before` or a library.
"""

import json
import math
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

from banditloop.rl_core.agents import AGENTS, Agent
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.config import Config
from banditloop.rl_core.settings.registry import registered
from tests.benchmarks.learning.deciders import Decider, OurDecider
from tests.benchmarks.learning.evaluated import error_in_standard_errors
from tests.benchmarks.learning.gated import loop_regret
from tests.benchmarks.learning.peers import PEERS
from tests.benchmarks.learning.served import regret
from tests.benchmarks.learning.tasks import TASKS, LearningTask
from tests.benchmarks.ratio import Row, at_least, at_most, times_faster

SEEDS, FLOOR = 5, 0.01
GATED_INTERACTIONS, LOGS, EVALUATED = 3_000, 20, 20_000
BEFORE = "before"  # of 0.4: LinUCB with exploration .05, retrained every 500 interactions
DEFAULT = "default"


def rows() -> list[Row]:
    measured = [measure(task, DEFAULT) for task in TASKS if task.package is None or find_spec(task.package)]
    return [*measured, *_speed(), _gate_cost(), _log_support()]


def _speed() -> list[Row]:
    """How many times faster the default agent acts and learns than other libraries, in batches of 100."""
    task = replace(TASKS[0], interactions=2_000)
    return [
        times_faster(
            f"learn: {task.name}, acting and learning beside {name}",
            lambda: regret(task, _decider(DEFAULT), 0, FLOOR, lambda learned_from: 100),
            lambda name=name: regret(task, _decider(name), 0, FLOOR, lambda learned_from: 100),
            target,
        )
        for name, target in (("TF-Agents", 10), ("Vowpal Wabbit", 1))
        if name in PEERS
    ]


def _gate_cost() -> Row:
    """The regret of a loop whose policies are evaluated first, beside one that promotes each at once."""
    name = TASKS[0].name
    calls = [(is_gated, seed) for seed in range(SEEDS) for is_gated in (True, False)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        values = list(pool.map(partial(loop_regret, name, GATED_INTERACTIONS), *zip(*calls, strict=True)))
    ratios = [gated / ungated for gated, ungated in zip(values[::2], values[1::2], strict=True)]
    return at_most(f"learn: {name}, first {GATED_INTERACTIONS:,}, gated", ratios, "× ungated", math.inf)


def _log_support() -> Row:
    """How often DR on the agent's own log is within two standard errors of the true value of its next policy."""
    task = TASKS[1]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        errors = list(pool.map(partial(_error, task.name), range(LOGS)))
    share = sum(error <= 2 for error in errors) / LOGS
    return at_least(f"learn: {task.name}, DR within 2 standard errors", [share], f"of {LOGS} logs", 0.9)


def _error(task_name: str, seed: int) -> float:
    return error_in_standard_errors(replace(_task(task_name), interactions=EVALUATED), _decider(DEFAULT), seed, FLOOR)


def measure(task: LearningTask, name: str) -> Row:
    """The regret an interaction of an agent or library by name: the median of the seeds."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        values = list(pool.map(partial(_regret, task.name, name), range(SEEDS)))
    return at_most(f"learn: {task.name}, {name}", values, "regret", task.target)


def _regret(task_name: str, name: str, seed: int) -> float:
    task = _task(task_name)
    if name == BEFORE:
        return regret(task, OurDecider(LinUCB()), seed, 0.05, lambda learned_from: 500)
    return regret(task, _decider(name), seed, FLOOR)


def _task(name: str) -> LearningTask:
    return next(task for task in TASKS if task.name == name)


def _decider(name: str) -> Decider:
    if name in PEERS:
        return PEERS[name]()
    agent, _, settings = name.partition(" ")
    values = {"name": agent} | (json.loads(settings) if settings else {})
    default = Config.model_fields["agent"].default
    return OurDecider(default if name == DEFAULT else registered(AGENTS, Agent, values, "agent"))


def main(pattern: str, *names: str) -> None:
    """Print the regret of agents and libraries on the tasks whose name has the pattern."""
    for task in TASKS:
        if pattern.lower() in task.name.lower():
            for name in names:
                row = measure(task, name)
                print(f"{row.name:50} {row.value:.3f} ({row.min:.3f} to {row.max:.3f})", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
