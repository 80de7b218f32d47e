"""SavedPolicy: a trained policy as a directory, and the decisions it takes.

A policy directory holds manifest.json (written last: a directory without one is no policy), statistics.npz for the next
training, saved_model/ for TF-Agents and, where the agent serves without TensorFlow, weights.npz.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rl_core.agents import SAVED_MODEL, STATISTICS, WEIGHTS, Arrays, Model, certain, write_arrays
from rl_core.errors import InvalidInput
from rl_core.manifest import MANIFEST, Manifest, agent_of, read_manifest


class Decisions(NamedTuple):
    """actions [B], their propensities [B], and the probability of every action [B, actions]."""

    actions: np.ndarray
    propensities: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class SavedPolicy:
    """A policy read from its directory, ready to decide."""

    manifest: Manifest
    model: Model

    @classmethod
    def load(cls, folder: Path) -> "SavedPolicy":
        """The policy of a directory. A SavedModel is a program: load what a loop of yours has written.

        Raises:
            InvalidInput: it is not a whole policy directory; names the file.
        """
        manifest = checked(folder)
        model = agent_of(manifest).load(folder)
        if model.shape != (manifest.dim, manifest.actions):
            raise InvalidInput(f"policy {folder}: its model has not the shape that {MANIFEST} tells of")
        return cls(manifest, model)

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        """The exact probability of every action [B, actions]: the agent's, mixed with uniform exploration."""
        floor = self.manifest.exploration
        return (1 - floor) * self.model.probabilities(observations) + floor / self.manifest.actions

    def decide(self, observations: np.ndarray, places: np.ndarray) -> Decisions:
        """An action for each of the observations [B, dim]: the one in whose stretch of [0, 1) its place [B] lies.

        Uniform places draw every action with its probability. Observations are those of `check_observations`.
        """
        probabilities = self.probabilities(observations)
        ends = probabilities.cumsum(axis=1)
        ends[:, -1] = 1.0  # whatever the rounding
        actions = (ends <= places[:, None]).argmin(axis=1)
        return Decisions(actions, probabilities[np.arange(len(actions)), actions], probabilities)

    def greedy(self, observations: np.ndarray) -> np.ndarray:
        """The probability of every action [B, actions] when only the expected reward counts: 0 or 1."""
        return certain(self.model.greedy(observations), self.manifest.actions)


def checked(folder: Path) -> Manifest:
    """The manifest of a policy directory whose every file it knows and matches. Loads nothing.

    Raises:
        InvalidInput: one is missing, changed or foreign; names it.
    """
    manifest = read_manifest(folder)
    for name in sorted({STATISTICS, *_files(folder), *manifest.files}):
        if not (folder / name).is_file():
            raise InvalidInput(f"policy {folder}: {name} is missing")
        if name not in manifest.files:
            raise InvalidInput(f"policy {folder}: {name} is not in {MANIFEST}")
        if _checksum(folder / name) != manifest.files[name]:
            raise InvalidInput(f"policy {folder}: {name} does not match its checksum in {MANIFEST}")
    return manifest


def write_policy(folder: Path, manifest: Manifest, statistics: Arrays) -> Manifest:
    """Write a whole policy directory and return its manifest, checksums included. Imports TensorFlow."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_arrays(folder / STATISTICS, statistics)
    agent_of(manifest).save(statistics, folder)
    sums = {name: _checksum(folder / name) for name in _files(folder)}
    manifest = manifest.model_copy(update={"files": sums})
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))
    return manifest


def _files(folder: Path) -> list[str]:
    """The names of what is read of a policy directory; what else lies there is nobody's business."""
    model = [path for path in (folder / SAVED_MODEL).rglob("*") if path.is_symlink() or not path.is_dir()]
    found = [folder / name for name in (STATISTICS, WEIGHTS) if (folder / name).exists()] + model
    names = [path.relative_to(folder) for path in found]
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
