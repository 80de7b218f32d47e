"""The manifest of a policy directory: the identity of a policy and how it was trained."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from banditloop.rl_core.agents import AGENTS, Agent
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.settings.section import Section, explain

MANIFEST = "manifest.json"


class Window(Section):
    """A range of the log, by the time at which events were logged."""

    since: datetime | None = Field(
        None, strict=False, description="exclusive start of the range; none: the beginning of the log"
    )
    until: datetime = Field(strict=False, description="inclusive end of the range")
    interactions: int = Field(ge=0, description="number of interactions in the range")

    @classmethod
    def of(cls, metadata: Mapping[str, Any], where: str) -> "Window":
        """The window of examples or of a plan with this metadata, which may have other keys. InvalidInput: it has none.

        where: what the metadata are of, for error messages.
        """
        return cls.parse({key: metadata[key] for key in cls.model_fields if key in metadata}, where)


class Manifest(Section):
    """The identity of a policy and how it was trained."""

    schema_version: int = Field(1, ge=1, le=1, description="version of the manifest format")
    version: str = Field(
        pattern=r"^[a-z][a-z0-9-]{0,62}$", description="unique name of the policy, derived from its training inputs"
    )
    parent: str | None = Field(None, description="version whose statistics it resumed from")
    generation: int = Field(ge=0, description="number of trainings from the random policy to this one")
    agent: dict[str, Any] = Field(description="the agent section")
    task: str = Field(
        "", description="digest of features, rewards and hold-out; training resumes only from the same task"
    )
    reward_range: list[float] | None = Field(
        None, min_length=2, max_length=2, description="the task's smallest and largest reward; none: not recorded"
    )
    exploration: float = Field(gt=0, le=1, description="fraction of decisions drawn uniformly")
    dim: int = Field(ge=1, description="length of an observation")
    actions: int = Field(ge=0, description="number of actions; those of a task without a list join as they are logged")
    new_action_exploration: float = Field(
        0.0, ge=0, le=1, description="least probability of each action that joined later and was not tried enough yet"
    )
    window: Window = Field(description="range of the log that this training added")
    interactions: int = Field(ge=0, description="number of interactions learned from, earlier trainings included")
    seed: int | None = Field(None, ge=0, description="seed of the training; none for a deterministic agent")
    run: str = Field("", description="id of the pipeline run that trained it")
    files: dict[str, str] = Field({}, description="SHA-256 of every other file of the policy")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a policy directory.

    Raises:
        InvalidInput: it is missing, unreadable or invalid; names the problem.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_text())
    except OSError as error:
        below = folder / "policy"  # as `banditloop train` writes it
        hint = f"; did you mean {below}?" if (below / MANIFEST).is_file() else ""
        raise InvalidInput(f"policy {folder}: {MANIFEST}: {error.strerror}; not a policy directory{hint}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"policy {folder}: {MANIFEST}: {error}") from None
    except ValidationError as error:
        raise InvalidInput(f"policy {folder}: {MANIFEST}: {explain(error)}") from None


def agent_of(manifest: Manifest) -> Agent:
    """The agent that trained the policy of a manifest."""
    return registered(AGENTS, Agent, manifest.agent, "agent")
