"""Interactions of the loop's log written as examples to train on."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.log_audit import audit_propensities
from banditloop.rl_core.events.examples import write_examples
from banditloop.rl_core.events.transitions import KIND
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.evidence.propensity_audit import Audits
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.audits import read_audits, write_audits
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.training.lineage import resumable


class Export(NamedTuple):
    """The result of an export: metadata of the examples, and counts of interactions written and left out."""

    metadata: dict[str, Any]
    metrics: dict[str, int]

    @classmethod
    def of(
        cls, window: Window, parent: Manifest | None, previous: Manifest | None, left_out: dict[str, int]
    ) -> "Export":
        """The export of a window of the log."""
        versions = {"parent": parent, "previous": previous}
        metadata = window.model_dump(mode="json", exclude_none=True)
        metadata |= {key: manifest.version if manifest else "" for key, manifest in versions.items()}
        return cls(metadata, {"interactions": window.interactions} | left_out)


def export_log(
    config: Config,
    platform: Platform,
    latest: tuple[Manifest | None, Encoding | None],
    examples: Path,
    as_of: str = "",
) -> Export:
    """Write the loop's interactions since the training of the latest policy, or all if training cannot resume from it.

    Held-out interactions are excluded, as are those that are inconsistent or have a reward outside the task's range.
    In a config with episodes, the transitions of all complete episodes of the log are written instead. as_of: time up
    to which the log is read, ISO 8601; empty: now.

    Raises:
        InvalidInput: there are none, or the propensity audit fails: a version's actions were not chosen as often as
            their logged propensities imply. The audit of a version continues over all windows of the log.
    """
    parent, window = next_window(config, platform, latest, as_of)
    if config.episodes:
        return export_episodes(config, platform, window, latest[0], examples)
    audits = read_audits(platform.endpoint.policy(parent.version)) if parent else {}
    usable = UsableInteractions(config.task, action_counts(platform.endpoint))
    rows = write_usable(config, usable, platform.warehouse.interactions(window, "training"), audits, examples)
    if as_of and not rows and not usable.left_out:
        raise InvalidInput(f"warehouse: no interactions since {window.since or 'the beginning'} as of {as_of}")
    if usable.left_out and not rows:
        raise InvalidInput(
            f"warehouse: none of the interactions since {window.since or 'the beginning'} can be learned from, such as "
            f"{usable.example}. Give a changed task its own backend.root, or rename the feature"
        )
    return Export.of(window.model_copy(update={"interactions": rows}), parent, latest[0], dict(usable.left_out))


def next_window(
    config: Config, platform: Platform, latest: tuple[Manifest | None, Encoding | None], as_of: str = ""
) -> tuple[Manifest | None, Window]:
    """The policy that the next training resumes from, if any, and the window of the log that it adds.

    Raises:
        InvalidInput: the window has no complete interactions.
    """
    parent = latest[0] if resumable(config, *latest) else None
    window = platform.warehouse.window(parent.window.until if parent else None)
    if as_of:
        window = window.model_copy(update={"until": min(window.until, parse_time(as_of))})
    if not window.interactions:
        seconds = f"{config.reward.attribution_window_seconds:,.10g} s (reward.attribution_window_seconds)"
        raise InvalidInput(
            f"warehouse: no complete interactions since {window.since or 'the beginning'}; one is complete within "
            f"{seconds} after it is logged"
        )
    return parent, window


def export_episodes(
    config: Config, platform: Platform, window: Window, previous: Manifest | None, examples: Path
) -> Export:
    """Write the transitions of a window's complete episodes, without held-out and unusable episodes.

    All decisions are audited, not only those of complete episodes: which episodes are complete depends on their
    actions. The export counts the transitions written, and everything that is left out.
    """
    shapes, audits = action_counts(platform.endpoint), Audits()
    decisions, usable = UsableInteractions(config.task, shapes), UsableInteractions(config.task, shapes)
    for _ in audit_propensities(decisions.of(platform.warehouse.interactions(window)), audits):
        pass
    rows = write_examples(
        usable.episodes_of(platform.warehouse.transitions(window, "training")), examples, config.examples.format
    )
    write_audits(examples, audits)
    counts = platform.warehouse.episode_counts(window.until)._asdict()
    if not rows:
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        raise InvalidInput(f"warehouse: no episode to learn from is complete ({listed}). {usable.example}".strip())
    del counts["transitions"]  # it includes those held out
    export = Export.of(window.model_copy(update={"interactions": rows}), None, previous, counts | usable.left_out)
    return export._replace(metadata=export.metadata | KIND)


def write_usable(
    config: Config,
    usable: UsableInteractions,
    batches: Iterable[pa.RecordBatch],
    audits: Audits,
    examples: Path,
    audit: Callable[..., Iterator[pa.RecordBatch]] = audit_propensities,
) -> int:
    """Write the usable interactions and their audits into a folder of examples; returns how many.

    audit: `audited` skips the check of the audits, for a shard: they are checked once those of all shards are added.
    """
    passed = audit(usable.of(batches), audits, complete=config.reward.default != "ignore")
    rows = write_examples(passed, examples, config.examples.format)
    write_audits(examples, audits)
    return rows


def parse_time(text: str) -> datetime:
    """The time of an ISO 8601 text, in UTC if it names no zone. InvalidInput: it is not one."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"as_of = {text!r}: give a time as 2026-01-31T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
