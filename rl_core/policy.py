"""SavedPolicy: a trained policy as a directory, and the decisions it takes.

A policy directory holds manifest.json (written last: a directory without one is no policy), weights.npz for serving
without TensorFlow, statistics.npz for the next training, and saved_model/ for TF-Agents.
"""

import hashlib
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rl_core.agents import Agent, Arrays
from rl_core.errors import InvalidInput
from rl_core.manifest import MANIFEST, Manifest, agent_of, read_manifest

WEIGHTS, STATISTICS, SAVED_MODEL = "weights.npz", "statistics.npz", "saved_model"


class Decisions(NamedTuple):
    """actions [B], their propensities [B], and the probability of every action [B, actions]."""

    actions: np.ndarray
    propensities: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class SavedPolicy:
    """A policy read from its directory, ready to decide."""

    manifest: Manifest
    agent: Agent
    weights: Arrays

    @classmethod
    def load(cls, folder: Path) -> "SavedPolicy":
        """The policy of a directory whose every file matches its manifest.

        Raises:
            InvalidInput: it is not a whole policy directory; names the file.
        """
        manifest = read_manifest(folder)
        for name, checksum in ({WEIGHTS: "", STATISTICS: ""} | manifest.files).items():
            if not (folder / name).is_file():
                raise InvalidInput(f"policy {folder}: {name} is missing")
            if _checksum(folder / name) != checksum:
                raise InvalidInput(f"policy {folder}: {name} does not match its checksum in {MANIFEST}")
        agent, weights = agent_of(manifest), read_arrays(folder / WEIGHTS)
        untrained = agent.solve(agent.start(manifest.dim, manifest.actions))
        if weights.keys() != untrained.keys():  # of before these were the weights; what it learned is in the statistics
            weights = agent.solve(read_arrays(folder / STATISTICS))
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in untrained.items()}:
            raise InvalidInput(f"policy {folder}: {WEIGHTS} has not the shapes that {MANIFEST} tells of")
        return cls(manifest, agent, weights)

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        """The exact probability of every action [B, actions]: the agent's, mixed with uniform exploration."""
        floor = self.manifest.exploration
        return (1 - floor) * self.agent.probabilities(self.weights, observations) + floor / self.manifest.actions

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
        return np.eye(self.manifest.actions)[self.agent.greedy(self.weights, observations)]


def write_policy(folder: Path, manifest: Manifest, statistics: Arrays) -> Manifest:
    """Write a whole policy directory and return its manifest, checksums included. Imports TensorFlow."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    agent = agent_of(manifest)
    np.savez(folder / WEIGHTS, **agent.solve(statistics))  # type: ignore[arg-type]
    np.savez(folder / STATISTICS, **statistics)  # type: ignore[arg-type]
    agent.save_model(statistics, folder / SAVED_MODEL)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): _checksum(path) for path in files}
    manifest = manifest.model_copy(update={"files": sums})
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))
    return manifest


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file, never unpickling anything."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: {error}; not the arrays of a policy") from None


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
