"""Statistics of the shards of a training: each computed from its examples, then merged to a policy.

For agents whose statistics are sums they are, but for rounding, those of a training on all examples.
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
    learns_from_before,
    mergeable,
    read_arrays,
    write_arrays,
)
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.log_audit import check_audits, merged_audits
from banditloop.rl_core.events.actions_seen import ActionsSeen
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.audits import read_audits, write_audits
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.training.plan import METADATA, planned_window, read_plan
from banditloop.rl_core.training.policy import resumed_folders
from banditloop.rl_core.training.train import finite, initial_statistics, learned_columns, train, with_action_features
from banditloop.rl_core.training.training import Training, with_seen
from banditloop.rl_core.training.tuned import TUNED

PLANNED = "since", "until", "parent", "previous", TUNED  # metadata that all shards of a training have in common


def write_shard(
    config: Config, platform: Platform | None, examples: Path, metadata: Mapping[str, Any], folder: Path
) -> Statistics:
    """Compute the statistics of a shard's examples alone, and write them and what the merging needs to a folder.

    metadata: of the examples. InvalidInput: they are no shard's, or the agent's statistics do not merge.
    """
    from banditloop.rl_core.events.examples import example_actions, example_files, read_examples

    agent, seen = _merging(config), example_actions(examples, config.task)
    plan = Encoding.read(examples)
    encoding = with_seen(plan, config, seen)
    parent, _ = resumed_folders(platform, metadata)
    before = initial_statistics(config, encoding, parent) if learns_from_before(agent) else {}
    tables = read_examples(example_files(examples), config.task, learned_columns(agent))
    start = agent.initial_statistics(encoding.context.dim, len(encoding.action_ids))
    statistics = train(config, encoding, tables, start, before)
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder)
    seen.write(folder)
    write_audits(folder, read_audits(examples))
    write_arrays(folder / STATISTICS, statistics)
    (folder / METADATA).write_bytes(orjson.dumps(dict(metadata)))
    return statistics


def merge_shards(
    config: Config, platform: Platform | None, shards: Sequence[Path], folder: Path, run_id: str = ""
) -> tuple[Manifest, Statistics]:
    """Add the statistics of shards to those that the training resumes from, and write the policy.

    Raises:
        InvalidInput: they are shards of different trainings or have no interaction together, or a version's actions
            were not chosen as often as their logged propensities imply.
    """
    metadata, plan = _merged_metadata(shards), Encoding.read(shards[0])
    parent, previous = resumed_folders(platform, metadata)
    parts = [ActionsSeen.read(shard) or ActionsSeen() for shard in shards]
    audits = merged_audits([read_audits(parent) if parent else {}, *map(read_audits, shards)])
    check_audits(audits)
    read_table = [platform.read_table] if platform else []
    training = Training.of(config, plan, ActionsSeen.of(parts), parent, previous, *read_table)
    agent, statistics = _merging(config), initial_statistics(config, training.encoding, parent)
    for shard, seen in zip(shards, parts, strict=True):
        added = _placed(agent, shard / STATISTICS, with_seen(plan, config, seen), training.encoding)
        statistics = agent.merge(statistics, added)
    statistics = with_action_features(finite(statistics), training.encoding)
    manifest, encoding = training.result(planned_window(metadata), statistics, run_id)
    write_policy(folder, manifest, statistics, encoding, config.policy.saved_model, audits)
    return manifest, statistics


def _merging(config: Config) -> MergeableAgent:
    agent = mergeable(config.agent)
    if agent is None:
        raise InvalidInput(f"agent.name = {config.agent.name!r}: its statistics of several shards cannot be merged")
    return agent


def _placed(agent: MergeableAgent, path: Path, own: Encoding, encoding: Encoding) -> Statistics:
    """The statistics of a shard, in its own encoding, with the actions of another one, which has all of these."""
    arrays, dim = read_arrays(path), own.context.dim
    check_shapes(path, arrays, agent.initial_statistics(dim, len(own.action_ids)))
    if len(own.action_ids) == len(encoding.action_ids):
        return arrays
    places = np.array([encoding.index[action] for action in own.action_ids], int)
    placed = agent.initial_statistics(dim, len(encoding.action_ids))
    for name, array in arrays.items():
        differing = np.flatnonzero(np.array(array.shape) != np.array(placed[name].shape))  # the axis of the actions
        placed[name][(slice(None),) * int(differing[0]) + (places,) if len(differing) else ...] = array
    return placed


def _merged_metadata(shards: Sequence[Path]) -> dict[str, Any]:
    """The plan's metadata, with the number of interactions of all shards."""
    own = [read_plan(shard) for shard in shards]
    plans = [{key: values[key] for key in PLANNED if key in values} for values in own]
    if not shards or any(plan != plans[0] for plan in plans):
        raise InvalidInput("sums: are of different trainings; give those of all shards of one")
    rows = sum(int(values["interactions"]) for values in own)
    if not rows:
        example = next((values["example"] for values in own if values.get("example")), "")
        raise InvalidInput(
            f"warehouse: none of the interactions since {plans[0].get('since') or 'the beginning'} can be learned "
            f"from. {example}".strip()
        )
    return plans[0] | {"interactions": rows}
