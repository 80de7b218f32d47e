"""Checkpoints of on-policy training: one file, replaced as a whole, since the process may be killed at any moment."""

from pathlib import Path

import numpy as np

from banditloop.rl_core.agents import Statistics, read_arrays, write_arrays
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.section import digest
from banditloop.rl_core.training.on_policy.curve import Curve, Loop

CHECKPOINT = "checkpoint.npz"
CURVE, OF = "on_policy_curve_", "on_policy_of"  # arrays beside the statistics: columns of loops, digest of the config
FIELDS = "interactions", "episodes", "regret_known", "regret", "average_return"
FORMAT = 2  # of these arrays


def write_checkpoint(folder: Path, config: Config, statistics: Statistics, curve: Curve) -> None:
    """Replace the checkpoint in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = np.frombuffer(bytes.fromhex(_identity(config)), np.uint8)
    arrays = statistics | _columns(curve) | {OF: identity}
    partial = folder / f"new-{CHECKPOINT}"
    write_arrays(partial, arrays)
    partial.replace(folder / CHECKPOINT)


def read_checkpoint(folder: Path, config: Config) -> tuple[Statistics, Curve] | None:
    """The statistics and the curve of the checkpoint in a folder; None if there is none.

    Raises:
        InvalidInput: it cannot be read, or is that of another config: only the number of loops may differ.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    arrays = read_arrays(path)
    if arrays.pop(OF, np.array([], np.uint8)).tobytes().hex() != _identity(config):
        raise InvalidInput(
            f"checkpoint {path}: is of another task, environment, agent or section on_policy; "
            "give another folder, or start anew"
        )
    columns = {name.removeprefix(CURVE): arrays.pop(name).tolist() for name in list(arrays) if name.startswith(CURVE)}
    return arrays, Curve([_loop(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)])


def _columns(curve: Curve) -> Statistics:
    """The curve as arrays of finite numbers, by name."""
    rows = [_row(loop) for loop in curve.loops]
    return {f"{CURVE}{name}": np.array([row[name] for row in rows], float) for name in rows[0]}


def _row(loop: Loop) -> dict[str, float]:
    regret = {"regret_known": loop.regret is not None, "regret": loop.regret or 0.0}
    counts = {"interactions": loop.interactions, "episodes": loop.episodes}
    return {**counts, **regret, "average_return": loop.average_return, **loop.measures}


def _loop(row: dict[str, float]) -> Loop:
    """The loop of a row, whose other numbers are its measures."""
    interactions, episodes, known, regret, average_return = (row.pop(name) for name in FIELDS)
    return Loop(int(interactions), regret if known else None, average_return, int(episodes), row)


def _identity(config: Config) -> str:
    """Digest of the settings that a loop depends on: of all but the number of loops."""
    environment = config.environment.model_dump(mode="json") if config.environment else None
    settings = config.on_policy.model_dump(mode="json", exclude={"training_loops"})
    episodes = config.episodes.model_dump(mode="json") if config.episodes else None
    parts = config.task.model_dump(mode="json"), environment, config.agent.model_dump(mode="json"), settings, episodes
    return digest([FORMAT, *parts])
