"""What tuning wins on fresh seeds: the mean reward of simulated loops with tuned and with present settings."""

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
SPACE = {
    "agent": {"alpha": {"low": 0.03, "high": 3, "log": True}, "l2": {"low": 0.1, "high": 10, "log": True}},
    "policy": {"exploration": {"low": 0.01, "high": 0.1, "log": True}},
}
TUNING = {"objective": "simulation", "trials": 16, "seeds": 3, "test_seeds": 10, "interactions": 2000}


def rows() -> list[Row]:
    return [_row(name, environment) for name, environment in TASKS.items()]


def _row(name: str, environment: dict[str, Any]) -> Row:
    """The gain with its interval, which is to be above 0."""
    with tempfile.TemporaryDirectory() as folder:
        sections = {"environment": environment, "backend": {"root": folder}, "agent": {"name": "linucb"}}
        config = Config.parse(sections | {"tuning": TUNING | {"search_space": SPACE}})
        summary = tune(config, connect(config), Path(folder) / "attempts")
    print(f"{name}: {summary['best']}: {summary['finding']}", flush=True)
    gain, before = summary["comparison"]["difference"], summary["comparison"]["present"]["value"]
    title = f"tune: {name}, gain on fresh seeds over {before:.3f} of linucb"
    return Row(title, gain["value"], "reward", gain["low"], gain["high"], 0.0, gain["low"] > 0)
