"""Statistics of the shards of a training: each computed from its examples, then merged to a policy.

For agents whose statistics are sums, the merged ones equal those of one training on all examples, but for rounding.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from banditloop.rl_core.agents import (
    STATISTICS,
    MergeableAgent,
    Statistics,
    check_shapes,
    mergeable,
    read_arrays,
    write_arrays,
)
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.log_audit import check_audits, merged_audits
from banditloop.rl_core.events.actions_seen import ActionsSeen
from banditloop.rl_core.events.candidates import logged_ids
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.audits import read_audits, write_audits
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.training.plan import METADATA, SHARD, SHARDS, read_plan
from banditloop.rl_core.training.policy import resumed_folders
from banditloop.rl_core.training.train import finite, initial_statistics, learned_columns, train, with_action_features
from banditloop.rl_core.training.training import Training, with_seen
from banditloop.rl_core.training.tuned import TUNED

ACTIONS = "actions"  # key of a shard's metadata: the actions of its statistics
PLANNED = "since", "until", "parent", "previous", TUNED, SHARDS  # metadata that all shards of a training have in common


def write_shard(
    config: Config, platform: Platform | None, examples: Path, metadata: Mapping[str, Any], folder: Path
) -> Statistics:
    """Compute the statistics of a shard's examples alone, and write them and what the merging needs to a folder.

    metadata: of the examples. InvalidInput: they are not a shard's, or the agent's statistics cannot be merged.
    """
    from banditloop.rl_core.events.examples import example_actions, example_files, read_examples

    agent, seen = _merging(config), example_actions(examples, config.task)
    plan = Encoding.read(examples)
    encoding = with_seen(plan, config, seen).with_actions(_candidates(config, examples))
    parent, _ = resumed_folders(platform, metadata)
    before = initial_statistics(config, encoding, parent) if agent.learns_from_before else None
    tables = read_examples(example_files(examples), config.task, learned_columns(agent))
    start = agent.initial_statistics(encoding.context.dim, len(encoding.action_ids))
    statistics = train(config, encoding, tables, start, before)
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder)
    seen.write(folder)
    write_audits(folder, read_audits(examples))
    write_arrays(folder / STATISTICS, statistics)
    (folder / METADATA).write_bytes(orjson.dumps({**metadata, ACTIONS: encoding.action_ids}))
    return statistics


def merge_policy(
    config: Config, platform: Platform | None, shards: Sequence[Path], folder: Path, run_id: str = ""
) -> tuple[Manifest, Statistics]:
    """Add the statistics of shards to those that the training resumes from, and write the policy.

    Raises:
        InvalidInput: they are not all shards of one training, or have no interactions, or a version's actions were not
            chosen as often as their logged propensities imply.
    """
    shard_metadata = [read_plan(shard) for shard in shards]
    metadata, plan = _merged_metadata(shard_metadata), Encoding.read(shards[0])
    parent, previous = resumed_folders(platform, metadata)
    parts = [ActionsSeen.read(shard) or ActionsSeen() for shard in shards]
    audits = merged_audits([read_audits(parent) if parent else {}, *map(read_audits, shards)])
    check_audits(audits)
    read_table = [platform.read_table] if platform else []
    training = Training.of(config, plan, ActionsSeen.of(parts), parent, previous, *read_table)
    agent, statistics = _merging(config), initial_statistics(config, training.encoding, parent)
    for shard, values in zip(shards, shard_metadata, strict=True):
        statistics = agent.merge(statistics, _placed(agent, shard / STATISTICS, values[ACTIONS], training.encoding))
    statistics = with_action_features(finite(statistics), training.encoding)
    manifest, encoding = training.result(Window.of(metadata, "plan"), statistics, run_id)
    write_policy(folder, manifest, statistics, encoding, config.policy.saved_model, audits, parent)
    return manifest, statistics


def _merging(config: Config) -> MergeableAgent:
    agent = mergeable(config.agent)
    if agent is None:
        raise InvalidInput(f"agent.name = {config.agent.name!r}: its statistics of several shards cannot be merged")
    return agent


def _candidates(config: Config, examples: Path) -> set[str]:
    """The candidates of a shard's decisions, if the agent learns from all: other shards may have chosen them."""
    from banditloop.rl_core.events.examples import example_files, read_examples

    if not config.agent.learns_from_eligible:
        return set()
    tables = read_examples(example_files(examples), config.task, ("candidates", "probabilities"))
    return {action for table in tables for action in logged_ids(table)}


def _placed(agent: MergeableAgent, path: Path, own: Sequence[str], encoding: Encoding) -> Statistics:
    """The statistics of a shard with its own actions moved to their positions in an encoding.

    Actions that no shard chose are not in the encoding, and are dropped.
    """
    arrays, dim = read_arrays(path), encoding.context.dim
    check_shapes(path, arrays, agent.initial_statistics(dim, len(own)))
    if tuple(own) == encoding.action_ids:
        return arrays
    kept = np.flatnonzero([action in encoding.index for action in own])
    places = np.array([encoding.index[own[number]] for number in kept], int)
    placed = agent.initial_statistics(dim, len(encoding.action_ids))
    one, two = agent.initial_statistics(dim, 1), agent.initial_statistics(dim, 2)
    for name, array in arrays.items():
        axes = np.flatnonzero(np.array(one[name].shape) != np.array(two[name].shape)).tolist()  # the action axis
        where = (slice(None),) * axes[0] + (places,) if axes else ...
        placed[name][where] = array.take(kept, axes[0]) if axes else array
    return placed


def _merged_metadata(own: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The plan's metadata with the total number of interactions, given the metadata of each shard."""
    plans = [{key: values[key] for key in PLANNED if key in values} for values in own]
    if any(plan != plans[0] for plan in plans):
        raise InvalidInput("sums: come from different trainings; give those of all shards of one training")
    names, count = {values[SHARD] for values in own}, int(plans[0][SHARDS])
    if not len(names) == len(own) == count:
        raise InvalidInput(
            f"sums: {len(own)} folders of {len(names)} different shards; give one folder for each of the {count} shards"
        )
    rows = sum(int(values["interactions"]) for values in own)
    if not rows:
        since = plans[0].get("since") or "the beginning"
        raise InvalidInput(f"warehouse: no interaction since {since} can be learned from; the ingesters' logs say why")
    return plans[0] | {"interactions": rows}
