"""What tuning wins on fresh seeds: the mean reward of simulated loops with tuned and with present settings.

linucb with its defaults, which tuning must improve; and the strongest agent that needs no tuning, against agents beside
it, which tuning may not improve: then it must say so.
"""

import tempfile
from pathlib import Path
from typing import Any

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.tuning.tune import tune
from tests.benchmarks.ratio import Row

TASKS: dict[str, dict[str, Any]] = {
    "MovieLens 20": {"name": "movielens", "movies": 20},
    "digits": {"name": "classification"},
}
ALPHA = {"low": 0.03, "high": 3, "log": True}
SPACES: dict[str, dict[str, Any]] = {
    "linucb": {
        "agent": {"alpha": ALPHA, "l2": {"low": 0.1, "high": 10, "log": True}},
        "policy": {"exploration": {"low": 0.01, "high": 0.1, "log": True}},
    },
    "linear_thompson": {
        "agent": {"name": {"values": ["linear_thompson", "linucb", "squarecb"]}, "alpha": ALPHA},
        "policy": {"exploration": {"low": 0.005, "high": 0.05, "log": True}},
    },
}
EXPLORATION = {"linucb": 0.05, "linear_thompson": 0.01}
TUNING = {"objective": "simulation", "trials": 16, "seeds": 3, "test_seeds": 10, "interactions": 2000}


def rows() -> list[Row]:
    return [_row(agent, name, environment) for agent in SPACES for name, environment in TASKS.items()]


def _row(agent: str, name: str, environment: dict[str, Any]) -> Row:
    """The gain with its interval: above 0 for linucb, and never clearly below."""
    with tempfile.TemporaryDirectory() as folder:
        sections = {"environment": environment, "backend": {"root": folder}, "agent": {"name": agent}}
        sections |= {"policy": {"exploration": EXPLORATION[agent]}, "tuning": TUNING | {"search_space": SPACES[agent]}}
        config = Config.parse(sections)
        summary = tune(config, connect(config), Path(folder) / "attempts")
    print(f"{name}, {agent}: {summary['best']}: {summary['finding']}", flush=True)
    title = f"tune: {name}, gain on fresh seeds over {agent}"
    if summary["comparison"] is None:
        return Row(title, 0.0, "reward", 0.0, 0.0, 0.0, agent != "linucb")
    gain = summary["comparison"]["difference"]
    holds = gain["low"] > 0 if agent == "linucb" else gain["high"] > 0
    return Row(title, gain["value"], "reward", gain["low"], gain["high"], 0.0, holds)
