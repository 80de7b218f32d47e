"""The steps of a training in shards, as its components run them: plan, export and add up each shard, and merge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.current import released
from banditloop.rl_core.promotion.start import check_start
from banditloop.rl_core.promotion.steps import Trained, of_a_loop, tuned_settings
from banditloop.rl_core.training.export import Export
from banditloop.rl_core.training.merging import merge_policy, write_shard
from banditloop.rl_core.training.plan import export_shard, read_plan, write_plan
from banditloop.rl_core.training.tuned import with_tuned_of


def plan_step(config: Config, platform: Platform | None, plan: Path, as_of: str, parent: str) -> list[str]:
    """Plan the training of a loop in shards, and return their names; as_of, parent: as for `export_step`."""
    platform = of_a_loop(platform, "a planner")
    check_start(config, platform)
    used, settings = tuned_settings(config, platform)
    return write_plan(used, platform, released(platform.endpoint, parent), settings, plan, as_of)


def export_shard_step(config: Config, platform: Platform | None, plan: Path, shard: str, examples: Path) -> Export:
    """Write a shard of a plan as examples."""
    platform = of_a_loop(platform, "an ingester of a shard")
    if not shard:
        raise InvalidInput("shard: is missing; give one of those that the planner returned")
    return export_shard(with_tuned_of(config, read_plan(plan)), platform, plan, shard, examples)


def add_up_step(
    config: Config, platform: Platform | None, examples: Path, sums: Path, metadata: Mapping[str, Any]
) -> tuple[dict[str, float], int]:
    """Compute the statistics of a shard; return their metrics, and the number of its interactions."""
    config = with_tuned_of(config, metadata)
    statistics = write_shard(config, platform, examples, metadata, sums)
    return config.agent.metrics(statistics), int(metadata["interactions"])


def merge_step(config: Config, platform: Platform | None, sums: Sequence[Path], policy: Path, run_id: str) -> Trained:
    """Merge the statistics of all shards to a policy, and write it."""
    if not sums:
        raise InvalidInput("sums: are none; give those of all shards of a training")
    config = with_tuned_of(config, read_plan(sums[0]))
    if platform:
        check_start(config, platform)
    manifest, statistics = merge_policy(config, platform, sums, policy, run_id)
    return Trained.of(config, manifest, statistics)
