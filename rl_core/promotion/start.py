"""The check before work starts: whether the config's task, the released policies and the log fit together."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.manifest import Manifest, read_manifest
from banditloop.rl_core.ports import Platform, Warehouse
from banditloop.rl_core.settings.feature_kinds import Kind, kind_text, same_kind
from banditloop.rl_core.settings.task import Task

REMEDY = "rename the feature, or give the changed task a backend.root (or dataset and endpoint) of its own"


def check_start(config: Config, platform: Platform) -> None:
    """Compare the config's task with the released policies and with the log. Reads no interactions, normally.

    Actions and features may join and go. A feature keeps its kind, a vector its length. The range of rewards may become
    narrower only if it still has all logged rewards: others would be left out.

    Raises:
        InvalidInput: they differ; names the config's key, the policy or the rewards, and what to do.
    """
    platform.warehouse.window(datetime.now(UTC))  # raises where the log has a feature as another kind
    release = platform.endpoint.release()
    for version in release.traffic() if release else ():
        folder = platform.endpoint.policy(version)
        manifest = read_manifest(folder)
        _check_features(config.task, manifest, Encoding.read_if_any(folder))
        _check_reward_range(config.task, manifest, platform.warehouse)


def _check_features(task: Task, manifest: Manifest, encoding: Encoding | None) -> None:
    encoding = encoding or Encoding.of_vectors(manifest.dim, manifest.actions)
    _check_kinds("task.context", task.context, manifest.version, encoding.context.kinds)
    if encoding.action:
        _check_kinds("task.action_features", task.action_features, manifest.version, encoding.action.kinds)


def _check_kinds(key: str, wanted: Mapping[str, Kind], version: str, known: Mapping[str, Kind]) -> None:
    for name in wanted.keys() & known.keys():
        if not same_kind(wanted[name], known[name]):
            raise InvalidInput(
                f"{key}.{name} = {kind_text(wanted[name])}: the policy {version} and its log have {name} as "
                f"{kind_text(known[name])}; {REMEDY}"
            )


def _check_reward_range(task: Task, manifest: Manifest, warehouse: Warehouse) -> None:
    before = manifest.reward_range
    if before is None or (task.rewards.low <= before[0] and before[1] <= task.rewards.high):
        return
    window = warehouse.window(None)
    extremes = [pc.min_max(batch["reward"]) for batch in warehouse.interactions(window) if batch.num_rows]
    if not extremes:
        return
    low, high = min(e["min"].as_py() for e in extremes), max(e["max"].as_py() for e in extremes)
    if low < task.rewards.low or high > task.rewards.high:
        raise InvalidInput(
            f"task.reward_range = {task.reward_range}: the log has rewards from {low:g} to {high:g}, which would "
            f"be left out; the policy {manifest.version} has {before}: keep all rewards within the range"
        )
