"""SavedPolicy: a trained policy as a directory, and the decisions it takes.

A policy directory holds manifest.json (written last: a directory without one is no policy), weights.npz for serving
without TensorFlow, statistics.npz for the next training, and saved_model/ for TF-Agents.
"""

import hashlib
import shutil
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from rl_core.agents import AGENTS, Agent, Arrays
from rl_core.errors import InvalidInput
from rl_core.schema import LARGEST
from rl_core.sections import Section, explain, registered

MANIFEST, WEIGHTS, STATISTICS, SAVED_MODEL = "manifest.json", "weights.npz", "statistics.npz", "saved_model"


class Window(Section):
    """A stretch of the log."""

    since: datetime | None = Field(None, strict=False, description="logged after this; nothing: from the beginning")
    until: datetime = Field(strict=False, description="logged up to this")
    interactions: int = Field(ge=0, description="how many there are")


class Manifest(Section):
    """What a policy is and where it comes from."""

    schema_version: int = Field(1, ge=1, le=1, description="form of this manifest")
    version: str = Field(
        pattern=r"^[a-z][a-z0-9-]{0,62}$", description="names the policy for ever; decided by what it was trained on"
    )
    parent: str | None = Field(None, description="version whose statistics it resumed from")
    generation: int = Field(ge=1, description="how many trainings led here")
    agent: dict[str, Any] = Field(description="the agent section")
    task: str = Field(
        "", description="digest of environment and rewards: statistics of another task mean another thing"
    )
    exploration: float = Field(gt=0, le=1, description="share of decisions drawn uniformly")
    dim: int = Field(ge=1, description="length of an observation")
    actions: int = Field(ge=2, description="number of actions")
    window: Window = Field(description="the interactions that this training added")
    interactions: int = Field(ge=0, description="all the interactions it has learned from")
    seed: int | None = Field(None, ge=0, description="seed of the training; nothing where training draws nothing")
    run: str = Field("", description="the pipeline run that trained it")
    files: dict[str, str] = Field({}, description="SHA-256 of every other file")


@dataclass(frozen=True)
class Decisions:
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
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in untrained.items()}:
            raise InvalidInput(f"policy {folder}: {WEIGHTS} has not the shapes that {MANIFEST} tells of")
        return cls(manifest, agent, weights)

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        """The exact probability of every action [B, actions]: the agent's, mixed with uniform exploration."""
        floor = self.manifest.exploration
        return (1 - floor) * self.agent.probabilities(self.weights, observations) + floor / self.manifest.actions

    def decide(self, observations: np.ndarray, random: np.random.Generator) -> Decisions:
        """Draw an action for each of the observations [B, dim].

        Raises:
            InvalidInput: observations are not finite numbers of shape [B, dim].
        """
        probabilities = self.probabilities(check_observations(observations, self.manifest.dim))
        drawn = random.random((len(probabilities), 1))
        actions = (np.cumsum(probabilities, axis=1) < drawn).sum(axis=1).clip(max=self.manifest.actions - 1)
        return Decisions(actions, probabilities[np.arange(len(actions)), actions], probabilities)

    def greedy(self, observations: np.ndarray) -> np.ndarray:
        """The probability of every action [B, actions] when only the expected reward counts: 0 or 1."""
        return np.eye(self.manifest.actions)[self.agent.greedy(self.weights, observations)]


def check_observations(observations: Any, dim: int) -> np.ndarray:
    """Observations as float32 [B, dim], or InvalidInput that says which one is wrong and how."""
    try:
        array = np.asarray(observations)
    except ValueError:
        array = np.empty(0, object)  # rows of different lengths
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != dim:
        raise InvalidInput(f"{_first_misfit(observations, dim)}: an observation is a list of {dim} numbers")
    with np.errstate(over="ignore"):  # what does not fit is infinite, and refused for that
        array = array.astype(np.float32)
    good = np.abs(array) <= LARGEST
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise InvalidInput(
            f"observation {row}: number {column} is {array[row, column]}; it must be from {-LARGEST:g} to {LARGEST:g}"
        )
    return array


def _first_misfit(observations: Any, dim: int) -> str:
    for row, observation in enumerate(observations if isinstance(observations, list | np.ndarray) else []):
        if not isinstance(observation, list | np.ndarray):
            return f"observation {row} is {observation!r:.40}"
        if len(observation) != dim:
            return f"observation {row} has {len(observation)} numbers"
        for column, number in enumerate(observation):
            if isinstance(number, bool) or not isinstance(number, int | float | np.number):
                return f"observation {row}: number {column} is {number!r:.40}"
    return "observations"


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


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a policy directory, or InvalidInput that says what is wrong with it."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_text())
    except OSError as error:
        raise InvalidInput(f"policy {folder}: {MANIFEST}: {error.strerror}; not a policy directory") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"policy {folder}: {MANIFEST}: {error}") from None
    except ValidationError as error:
        raise InvalidInput(f"policy {folder}: {MANIFEST}: {explain(error)}") from None


def agent_of(manifest: Manifest) -> Agent:
    """The agent that a manifest names."""
    return registered(AGENTS, manifest.agent, "agent")


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
