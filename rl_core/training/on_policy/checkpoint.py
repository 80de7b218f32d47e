"""Checkpoints of on-policy training: one file, replaced as a whole, since the process may be killed at any moment."""

from pathlib import Path

import numpy as np

from banditloop.rl_core.agents import Statistics, read_arrays, write_arrays
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.section import digest
from banditloop.rl_core.training.on_policy.curve import Curve, Loop

CHECKPOINT = "checkpoint.npz"
CURVE, OF = "on_policy_curve", "on_policy_of"  # arrays beside the statistics: the loops, and a digest of the config


def write_checkpoint(folder: Path, config: Config, statistics: Statistics, curve: Curve) -> None:
    """Replace the checkpoint in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    loops = [[loop.interactions, *_known(loop.regret), loop.average_return] for loop in curve.loops]
    arrays = statistics | {CURVE: np.array(loops, float), OF: np.frombuffer(bytes.fromhex(_identity(config)), np.uint8)}
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
    if CURVE not in arrays or arrays.pop(OF, np.array([], np.uint8)).tobytes().hex() != _identity(config):
        raise InvalidInput(
            f"checkpoint {path}: is of another task, environment, agent or section on_policy; "
            "give another folder, or start anew"
        )
    return arrays, Curve([_loop(*row) for row in arrays.pop(CURVE).reshape(-1, 4).tolist()])


def _known(regret: float | None) -> tuple[float, float]:
    """Whether a regret is known, 0 or 1, and its value: arrays of a policy are finite."""
    return (0.0, 0.0) if regret is None else (1.0, regret)


def _loop(interactions: float, known: float, regret: float, average_return: float) -> Loop:
    return Loop(int(interactions), regret if known else None, average_return)


def _identity(config: Config) -> str:
    """Digest of what the training depends on, but for the number of loops: of later ones nothing depends on it."""
    environment = config.environment.model_dump(mode="json") if config.environment else None
    settings = config.on_policy.model_dump(mode="json", exclude={"training_loops"})
    return digest([config.task.model_dump(mode="json"), environment, config.agent.model_dump(mode="json"), settings])
