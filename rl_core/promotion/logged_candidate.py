"""The evaluation of a candidate on a log that was not written by a loop, and the verdict on it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evaluation.episodes.window import EpisodeWindow
from banditloop.rl_core.evaluation.kinds import kind_of
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.evaluation.summary import Summary
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.decision import Thresholds, decide_heldout

THE_LOG = "the log"  # in place of a baseline's version
NO_TRANSITIONS = {
    "after_end": "decisions after the end of their episode",
    "repeated": "decisions of a step that was logged before",
    "without_episode": "decisions without an episode",
}
UNBOUNDED = (
    "give least_propensity: while the smallest propensity of the log is unknown, "
    "the log is no evidence against a baseline"
)


def evaluate_log(
    config: Config,
    interactions: Iterable[pa.RecordBatch],
    candidate: SavedPolicy,
    baseline: SavedPolicy | None = None,
    *,
    least_propensity: float = 0.0,
    run_id: str = "",
    left_out: Mapping[str, int] | None = None,
) -> tuple[Verdict, Summary]:
    """The verdict on a candidate by a log whose policy is unknown, and the summary that `write_page` takes.

    interactions: in the form of `events.schema.interaction_schema`, as `rl_core.logs` reads them, none of which the
        candidate was trained on; in a config with episodes transitions, in that of `events.transitions`. Logged
        propensities are used as they are; a decision whose action had the propensity 1 among several candidates says
        nothing about the others, and is left out.
    baseline: the policy to compare with; None: the logging policy, whose mean reward is that of the log.
    least_propensity: with which the log's policy took any action for any user; 0: unknown. Only with it is there
        evidence against a baseline, and intervals are narrower.
    left_out: numbers of decisions that are not among the transitions, by the names in `logs.transitions`.

    Raises:
        InvalidInput: there is no usable interaction, or episode, with propensities, or one is below least_propensity.
    """
    read = unknown_window if config.episodes is None else unknown_episodes
    kind, window = kind_of(config), read(config, interactions, least_propensity)
    better, worse = BettingTest(margin=config.gate.noninferiority_margin), BettingTest()
    better, worse = kind.compare(window, baseline, candidate, better, worse)
    evaluation = kind.evaluate(window, baseline, candidate)
    baseline_name = baseline.manifest.version if baseline else THE_LOG
    decision, reason = decide_heldout(config, better, worse, baseline_name, kind.evidence(evaluation, worse.count))
    verdict = Verdict(
        version=candidate.manifest.version,
        champion=baseline_name,
        decision=decision,
        by="evaluator",
        reason=UNBOUNDED if baseline and not least_propensity else reason,
        run=run_id,
        until=pc.max(window.table["timestamp"]).as_py(),
        better=better,
    )
    totals, threshold = [_total(window.table)], Thresholds.of(config).heldout_better
    features = candidate.encoding.context.names
    summary = kind.summary(config, window, evaluation, verdict, worse, [], totals, threshold, features)
    if config.episodes:
        summary["left_out"] |= {NO_TRANSITIONS[name]: count for name, count in (left_out or {}).items() if count}
    return verdict, summary


def unknown_window(config: Config, interactions: Iterable[pa.RecordBatch], least_propensity: float) -> LoggedWindow:
    """The interactions as a window of unknown policies.

    Raises:
        InvalidInput: as `evaluate_log`.
    """
    usable = UsableInteractions(config.task, {})
    window = LoggedWindow.of(config, lambda version: None, map(_external, usable.of(interactions)))
    if not window.table.num_rows:
        example = f"; {usable.example}" if usable.example else ""
        raise InvalidInput(f"log: has no usable interaction with a propensity below 1{example}")
    _check_least(window.table, least_propensity)
    return replace(window, left_out=usable.left_out.total(), least_propensity=least_propensity)


def unknown_episodes(config: Config, transitions: Iterable[pa.RecordBatch], least_propensity: float) -> EpisodeWindow:
    """The transitions as a window of episodes that unknown policies answered.

    Raises:
        InvalidInput: as `evaluate_log`.
    """
    usable = UsableInteractions(config.task, {})
    batches = map(_external, usable.episodes_of(transitions))
    window = EpisodeWindow.of(config, lambda version: None, batches, least_propensity=least_propensity)
    if not window.episodes:
        example = f"; {usable.example}" if usable.example else ""
        raise InvalidInput(f"log: has no usable episode with propensities below 1{example}")
    _check_least(window.table, least_propensity)
    return window.without_unusable(usable)


def _check_least(table: pa.Table, least_propensity: float) -> None:
    if (lowest := pc.min(table["propensity"]).as_py()) < least_propensity:
        raise InvalidInput(f"least_propensity = {least_propensity:g}: the log has {lowest:g}; give at most that")


def _external(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The interactions as those of an unknown policy."""
    modes = pa.array(["external"] * batch.num_rows)
    return batch.set_column(batch.schema.get_field_index("mode"), batch.schema.field("mode"), modes)


def _total(table: pa.Table) -> dict[str, Any]:
    """The totals of the log, as `Warehouse.policy_totals` has them of a version."""
    mean, rows = pc.mean(table["reward"]).as_py(), table.num_rows
    return {"version": THE_LOG, "interactions": rows, "rewarded": rows, "mean_reward": mean, "ignored": 0}
