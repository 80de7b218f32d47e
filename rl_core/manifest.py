"""The manifest of a policy directory: what the policy is and where it comes from."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from rl_core.agents import AGENTS, Agent
from rl_core.errors import InvalidInput
from rl_core.sections import Section, explain, registered

MANIFEST = "manifest.json"
RANDOM = "random"  # the version that chooses uniformly


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
    generation: int = Field(ge=0, description="how many trainings led here")
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
