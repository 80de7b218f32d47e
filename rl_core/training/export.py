"""Interactions written as examples to train on: from the loop's log, or from a log of one's own in a file."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.propensity_audit import Audits, audit_propensities
from banditloop.rl_core.events.examples import write_examples
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.events.schema import TIME
from banditloop.rl_core.events.transitions import KIND
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.logs.artifact import artifact_events
from banditloop.rl_core.logs.events import LoggedEvents, interactions
from banditloop.rl_core.logs.transitions import transitions
from banditloop.rl_core.policies.audits import read_audits, write_audits
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.training.lineage import resumable


class Export(NamedTuple):
    """What was exported: metadata of the examples, and the numbers of interactions, also of those left out."""

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

    Those held out are excluded, and those that contradict themselves or have a reward outside the task's range left
    out. In a config with episodes they are the transitions of complete ones, of the whole log. as_of: time up to which
    the log is read, ISO 8601; empty: now.

    Raises:
        InvalidInput: there are none, or a version's actions were not chosen as often as their logged propensities
            imply: an audit that continues over its windows of the log.
    """
    parent = latest[0] if resumable(config, *latest) else None
    window = _up_to(platform.warehouse.window(parent.window.until if parent else None), as_of)
    if not window.interactions:
        seconds = f"{config.reward.attribution_window_seconds:g} s (reward.attribution_window_seconds)"
        raise InvalidInput(
            f"warehouse: no complete interactions since {window.since or 'the beginning'}; one is complete within "
            f"{seconds} after it is logged"
        )
    if config.episodes:
        return export_episodes(config, platform, window, latest[0], examples)
    audits = read_audits(platform.endpoint.policy(parent.version)) if parent else {}
    usable = UsableInteractions(config.task, action_counts(platform.endpoint))
    rows = _write(config, usable, platform.warehouse.interactions(window, "training"), audits, examples)
    if as_of and not rows and not usable.left_out:
        raise InvalidInput(f"warehouse: no interactions since {window.since or 'the beginning'} as of {as_of}")
    if usable.left_out and not rows:
        raise InvalidInput(
            f"warehouse: none of the interactions since {window.since or 'the beginning'} can be learned from, such as "
            f"{usable.example}. Give a changed task its own backend.root, or rename the feature"
        )
    return Export.of(window.model_copy(update={"interactions": rows}), parent, latest[0], dict(usable.left_out))


def export_episodes(
    config: Config, platform: Platform, window: Window, previous: Manifest | None, examples: Path
) -> Export:
    """Write the transitions of the complete episodes of a window, without those held out or with one of no use.

    All decisions are audited, not only those of complete episodes: which episodes are complete depends on their
    actions. The export's numbers are those of the transitions written and of everything that is left out.
    """
    shapes, audits = action_counts(platform.endpoint), Audits()
    decided, usable = UsableInteractions(config.task, shapes), UsableInteractions(config.task, shapes)
    for _ in audit_propensities(decided.of(platform.warehouse.interactions(window)), audits):
        pass
    rows = write_examples(
        usable.episodes_of(platform.warehouse.transitions(window, "training")), examples, config.examples.format
    )
    write_audits(examples, audits)
    found = platform.warehouse.episode_counts(window.until)._asdict()
    if not rows:
        listed = ", ".join(f"{count:,} {name}" for name, count in found.items())
        raise InvalidInput(f"warehouse: no episode to learn from is complete ({listed}). {usable.example}".strip())
    del found["transitions"]  # with those held out
    export = Export.of(window.model_copy(update={"interactions": rows}), None, previous, found | usable.left_out)
    return export._replace(metadata=export.metadata | KIND)


def export_file(
    config: Config, log: Path, columns: Mapping[str, str], examples: Path, held_out: Path, as_of: str = ""
) -> Export:
    """Write the interactions of a log in a file; those held out are written to `held_out`, as the log has them.

    In a config with episodes they are the transitions of the log's episodes, which are held out whole. columns: of the
    log, as for `artifact_events`. as_of: time up to which it is read, ISO 8601; empty: all of it.

    Raises:
        InvalidInput: the file cannot be read, a row is wrong, or no interaction can be learned from.
    """
    usable = UsableInteractions(config.task, {})
    by = "episode_id" if config.episodes else "event_id"
    reading = LogReading(config.gate.holdout_fraction, parse_time(as_of) if as_of else None, by)
    log_events = reading.training(artifact_events(log, config.task, columns, config.reward.name, config.other_rewards))
    if config.episodes:
        batches = transitions(log_events, config.task, config.episodes, config.reward, usable.left_out)
        count = write_examples(usable.episodes_of(batches), examples, config.examples.format)
    else:
        rows = interactions(log_events, config.task, config.reward.of_missing)
        count = _write(config, usable, rows, {}, examples)
    if not count:
        raise InvalidInput(
            f"log {log}: no interaction can be learned from; {usable.example or 'too few have a reward'}"
        )
    held_out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables(reading.held_out, promote_options="permissive"), held_out)
    window = Window(until=reading.until, interactions=count)
    export = Export.of(window, None, None, dict(usable.left_out))
    kind = KIND if config.episodes else {}
    return export._replace(metadata=export.metadata | kind | {"digest": reading.digest.hexdigest()[:16]})


class LogReading:
    """One reading of a log: passes on what is to be trained on, and keeps the rest, and what tells it from others.

    held_out_by: the column by whose hash rows are held out.
    """

    def __init__(self, holdout_fraction: float, as_of: datetime | None, held_out_by: str = "event_id") -> None:
        self._fraction, self._as_of, self._by = holdout_fraction, as_of, held_out_by
        self.held_out: list[pa.Table] = []
        self.until = datetime.fromtimestamp(0, UTC)
        self.digest = hashlib.sha256()

    def training(self, log: Iterable[LoggedEvents]) -> Iterator[LoggedEvents]:
        """The events up to the time, without those held out."""
        for events in log:
            times = events.decisions["timestamp"]
            in_time = np.ones(len(times), bool)
            if self._as_of:
                in_time = pc.less_equal(times, pa.scalar(self._as_of, TIME)).to_numpy()
            ids = events.decisions[self._by].to_pylist()
            is_out = np.array([id_ is not None and is_held_out(id_, self._fraction) for id_ in ids], bool)
            self.held_out.append(events.raw.table.filter(pa.array(in_time & is_out)))
            decisions = events.decisions.filter(pa.array(in_time & ~is_out))
            if decisions.num_rows:
                self.until = max(self.until, pc.max(decisions["timestamp"]).as_py())
            for table in (decisions, events.rewards):
                self.digest.update(orjson.dumps(table.to_pydict(), default=str))
            yield events._replace(decisions=decisions)


def _write(
    config: Config, usable: UsableInteractions, batches: Iterable[pa.RecordBatch], audits: Audits, examples: Path
) -> int:
    audited = audit_propensities(usable.of(batches), audits, complete=config.reward.default != "ignore")
    rows = write_examples(audited, examples, config.examples.format)
    write_audits(examples, audits)
    return rows


def _up_to(window: Window, as_of: str) -> Window:
    """The window without what was logged after a time."""
    return window.model_copy(update={"until": min(window.until, parse_time(as_of))}) if as_of else window


def parse_time(text: str) -> datetime:
    """The time of an ISO 8601 text, in UTC if it names no zone. InvalidInput: it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"as_of = {text!r}: give a time as 2026-01-31T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
