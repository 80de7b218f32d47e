"""The plan of a training in shards: what all shards have in common. Each shard is then written as examples."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.log_audit import audited
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.evidence.propensity_audit import Audits
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.training.export import Export, next_window, write_usable
from banditloop.rl_core.training.training import fit_encoding

METADATA = "metadata.json"  # of a plan: what all of its shards have in common; of a shard's statistics: also its own
SHARDS, SHARD = "shards", "shard"  # keys of it: the number of shards, and the name of this one
log = logging.getLogger("banditloop.training")


def write_plan(
    config: Config,
    platform: Platform,
    latest: tuple[Manifest | None, Encoding | None],
    more: dict[str, Any],
    folder: Path,
    as_of: str = "",
) -> list[str]:
    """Plan the next training on the loop's log in up to `training.shards` shards, and return their names.

    The window of the log, what the training resumes from, and the encoder of contexts are written to a folder: all
    shards must have the same ones. latest, as_of: as for `export_log`; more: metadata to add.

    Raises:
        InvalidInput: there is nothing to train on.
    """
    parent, window = next_window(config, platform, latest, as_of)
    shards = platform.warehouse.shards(window, "training", config.training.shards)
    if not shards:
        raise InvalidInput(f"warehouse: all interactions since {window.since or 'the beginning'} are held out")
    encoding = latest[1] if parent else None
    if encoding is None:
        encoding = fit_encoding(Encoding.unfitted(config.task), _usable(config, platform, window))
    folder.mkdir(parents=True, exist_ok=True)
    encoding.write(folder)
    metadata = Export.of(window, parent, latest[0], {}).metadata | more | {SHARDS: len(shards)}
    (folder / METADATA).write_bytes(orjson.dumps(metadata))
    log.info("the window has %d interactions, some held out, in %d shards", window.interactions, len(shards))
    return shards


def export_shard(config: Config, platform: Platform, plan: Path, shard: str, examples: Path) -> Export:
    """Write one shard of a plan's interactions as examples, with the plan's encoder. A shard may be empty.

    The propensity audits are of this shard alone. They are not checked here, but once those of all shards are merged.
    """
    metadata, audits = read_plan(plan), Audits()
    window, usable = Window.of(metadata, "plan"), UsableInteractions(config.task, action_counts(platform.endpoint))
    interactions = platform.warehouse.interactions(window, "training", shard)
    rows = write_usable(config, usable, interactions, audits, examples, audited)
    Encoding.read(plan).write(examples)
    metadata |= {SHARD: shard, "interactions": rows}
    return Export(metadata, {"interactions": rows} | usable.left_out)


def read_plan(folder: Path) -> dict[str, Any]:
    """The metadata of a plan. InvalidInput: the folder is not a plan."""
    try:
        return dict(orjson.loads((folder / METADATA).read_bytes()))
    except (OSError, ValueError):
        raise InvalidInput(f"plan {folder}: is not the output of a planner") from None


def _usable(config: Config, platform: Platform, window: Window) -> Iterator[pa.Table]:
    """The usable interactions of a window, in the order in which one training would read them."""
    usable = UsableInteractions(config.task, action_counts(platform.endpoint))
    return map(pa.table, usable.of(platform.warehouse.interactions(window, "training")))
