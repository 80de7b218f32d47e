"""SavedPolicy: a policy read from a policy directory, and its decisions.

A policy directory holds manifest.json (written last, so a directory without one is incomplete), statistics.npz for the
next training, saved_model/ for TF-Agents and, if the agent serves without TensorFlow, weights.npz.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.agents import SAVED_MODEL, STATISTICS, WEIGHTS, Model, Statistics, one_hot, write_arrays
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.manifest import MANIFEST, Manifest, agent_of, read_manifest


class Decisions(NamedTuple):
    """Actions [B], their propensities [B], and the probability of every action [B, actions]."""

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
        """The policy of a directory. A SavedModel can run arbitrary code: load only directories that you trust.

        Raises:
            InvalidInput: the directory is incomplete or corrupt; names the file.
        """
        manifest = verify_policy(folder)
        model = agent_of(manifest).load(folder)
        if model.shape != (manifest.dim, manifest.actions):
            raise InvalidInput(f"policy {folder}: the shape of its model differs from dim and actions in {MANIFEST}")
        return cls(manifest, model)

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        """The exact probability of every action [B, actions]: the agent's, mixed with uniform exploration."""
        floor = self.manifest.exploration
        return (1 - floor) * self.model.probabilities(observations) + floor / self.manifest.actions

    def decide(self, observations: np.ndarray, uniforms: np.ndarray) -> Decisions:
        """Actions for observations [B, dim] of `check_observations`, drawn by inverse-CDF sampling.

        uniforms: numbers [B] in [0, 1) that select the actions.
        """
        probabilities = self.probabilities(observations)
        cumulative = probabilities.cumsum(axis=1)
        cumulative[:, -1] = 1.0  # despite rounding errors
        actions = (cumulative <= uniforms[:, None]).argmin(axis=1)
        return Decisions(actions, probabilities[np.arange(len(actions)), actions], probabilities)

    def greedy_probabilities(self, observations: np.ndarray) -> np.ndarray:
        """The probabilities [B, actions], 0 or 1, of always taking the action with the highest expected reward."""
        return one_hot(self.model.greedy_actions(observations), self.manifest.actions)


def verify_policy(folder: Path) -> Manifest:
    """Check every file of a policy directory against the manifest's checksums; return the manifest. Loads no model.

    Raises:
        InvalidInput: a file is missing, changed or not in the manifest; names it.
    """
    manifest = read_manifest(folder)
    for name in sorted({STATISTICS, *_loaded_files(folder), *manifest.files}):
        if not (folder / name).is_file():
            raise InvalidInput(f"policy {folder}: {name} is missing")
        if name not in manifest.files:
            raise InvalidInput(f"policy {folder}: {name} is not in {MANIFEST}")
        if _checksum(folder / name) != manifest.files[name]:
            raise InvalidInput(f"policy {folder}: {name} does not match its checksum in {MANIFEST}")
    return manifest


def write_policy(folder: Path, manifest: Manifest, statistics: Statistics, saved_model: bool = False) -> Manifest:
    """Write a policy directory, replacing any existing one, and return its manifest with checksums.

    saved_model: also write a TF-Agents SavedModel if the agent serves without one. Imports TensorFlow.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    agent = agent_of(manifest)
    write_arrays(folder / STATISTICS, statistics)
    agent.save(statistics, folder)
    if saved_model and not (folder / SAVED_MODEL).exists():
        agent.export_saved_model(statistics, folder / SAVED_MODEL)
    manifest = manifest.model_copy(
        update={"files": {name: _checksum(folder / name) for name in _relative_paths(folder)}}
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))
    return manifest


def _loaded_files(folder: Path) -> list[str]:
    """The files that agents load: statistics, weights, SavedModel. Others, say of the operating system, are ignored."""
    return [
        name for name in _relative_paths(folder) if name in (STATISTICS, WEIGHTS) or name.startswith(f"{SAVED_MODEL}/")
    ]


def _relative_paths(folder: Path) -> list[str]:
    """All files below a folder except hidden ones, as relative POSIX paths."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
