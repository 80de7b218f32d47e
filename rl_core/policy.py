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

from rl_core.agents import STATISTICS, Arrays, Model, write_arrays
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
        """The policy of a directory whose every file matches its manifest.

        Raises:
            InvalidInput: it is not a whole policy directory; names the file.
        """
        manifest = read_manifest(folder)
        for name, checksum in (dict.fromkeys([STATISTICS, *_files(folder)], "") | manifest.files).items():
            if not (folder / name).is_file():
                raise InvalidInput(f"policy {folder}: {name} is missing")
            if _checksum(folder / name) != checksum:
                raise InvalidInput(f"policy {folder}: {name} does not match its checksum in {MANIFEST}")
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
        return np.eye(self.manifest.actions)[self.model.greedy(observations)]


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
    """The names of the files that the manifest of a policy directory tells of."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if path.is_file())
    return sorted(name for name in found if name != MANIFEST)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
