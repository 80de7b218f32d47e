"""One training as a component runs it: from examples to a policy directory."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.table_file import TableFile
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.audits import read_audits
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.training.train import with_action_features
from banditloop.rl_core.training.training import Training


def train_policy(
    config: Config,
    platform: Platform | None,
    examples: Path,
    folder: Path,
    metadata: Mapping[str, Any],
    run_id: str = "",
) -> tuple[Manifest, Statistics]:
    """Train the config's agent on a folder of examples, write the policy, and return its manifest and statistics.

    platform: of the loop; its machines train, and its policies can be resumed from. None: this process trains, from
    nothing. metadata: as the ingester wrote it; that of examples from elsewhere may lack any key.

    Raises:
        InvalidInput: there are no examples, they are of another kind than the config's agent learns from, or they
            continue a policy of a loop that the config does not name.
    """
    parent, previous = resumed_folders(platform, metadata)
    window, content = _window(examples, metadata, config.task)
    _check_kind(config, examples)
    learn, read_table = (platform.runner.train, platform.read_table) if platform else (_train, TableFile().read)
    training = Training.on_examples(config, examples, parent, previous, read_table)
    statistics = learn(config, examples, training.encoding, parent, Path(f"{folder}-shards"))
    statistics = with_action_features(statistics, training.encoding)
    manifest, encoding = training.result(window, statistics, run_id, content)
    write_policy(folder, manifest, statistics, encoding, config.policy.saved_model, read_audits(examples), parent)
    return manifest, statistics


def resumed_folders(platform: Platform | None, metadata: Mapping[str, Any]) -> tuple[Path | None, Path | None]:
    """The directories of the parent policy and of the previous one that the metadata of examples names, if any.

    Raises:
        InvalidInput: they continue a policy, and there is no platform that has it.
    """
    if platform is None:
        if metadata.get("parent"):
            raise InvalidInput(
                f"examples: continue the policy {metadata['parent']}; give the config the backend of its loop"
            )
        return None, None
    parent, previous = (metadata.get(key) for key in ("parent", "previous"))
    policy = platform.endpoint.policy
    return policy(parent) if parent else None, policy(previous) if previous else None


def _check_kind(config: Config, examples: Path) -> None:
    from banditloop.rl_core.events.examples import are_transitions, example_files  # imports TensorFlow

    name = config.agent.name
    if are_transitions(example_files(examples)) != bool(config.episodes):
        wanted = "transitions of episodes" if config.episodes else "single decisions"
        raise InvalidInput(f"examples: the agent {name!r} learns from {wanted}; give those that its ingester wrote")


def _train(config: Config, examples: Path, encoding: Encoding, parent: Path | None, work: Path) -> Statistics:
    from banditloop.rl_core.training.shards import train_here  # imports TensorFlow

    return train_here(config, examples, encoding, parent)


def _window(examples: Path, metadata: Mapping[str, Any], task: Task) -> tuple[Window, str]:
    """The window of the log that examples cover, and a digest of their content; empty for a loop's log."""
    if "until" in metadata:
        return Window.of(metadata, "examples"), metadata.get("digest", "")
    from banditloop.rl_core.events.examples import example_files, read_examples  # imports TensorFlow

    files, sha = example_files(examples), hashlib.sha256()
    tables = [table.select(["timestamp"]) for table in read_examples(files, task)] if files else []
    if not tables:
        raise InvalidInput(f"examples {examples}: has no interactions; give a folder of *.tfrecord or *.arrow files")
    for file in files:
        sha.update(file.read_bytes())
    until = max(pc.max(table["timestamp"]).as_py() for table in tables)
    return Window(until=until, interactions=sum(table.num_rows for table in tables)), sha.hexdigest()[:16]
