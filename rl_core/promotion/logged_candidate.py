"""The evaluation of a candidate on a log that no loop wrote, and the verdict on it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.anytime_valid import BettingTest
from banditloop.rl_core.evaluation.comparison import compare
from banditloop.rl_core.evaluation.estimates import evaluate
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.evaluation.summary import Summary, evaluation_summary
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.decision import Thresholds, decide_heldout

THE_LOG = "the log"  # in place of a baseline's version
UNBOUNDED = "the log's least propensity is unknown, without which nothing is evidence against a baseline; give it"


def evaluate_log(
    config: Config,
    interactions: Iterable[pa.RecordBatch],
    candidate: SavedPolicy,
    baseline: SavedPolicy | None = None,
    *,
    least_propensity: float = 0.0,
    run_id: str = "",
) -> tuple[Verdict, Summary]:
    """The verdict on a candidate by a log whose policy is unknown, and the summary that `write_page` takes.

    interactions: in the form of `events.schema.interaction_schema`, as `rl_core.logs` reads them, none of which the
        candidate was trained on. Logged propensities are used as they are; a candidate that was chosen with probability
        1 says nothing about others, and is left out.
    baseline: the policy to compare with; None: whatever took the logged actions, whose mean reward is that of the log.
    least_propensity: with which the log's policy took any action for any user; 0: unknown. Only with it is there
        evidence against a baseline, and intervals are narrower.

    Raises:
        InvalidInput: there is no usable interaction with a propensity, or one is below least_propensity.
    """
    window = unknown_window(config, interactions, least_propensity)
    better, worse = BettingTest(margin=config.gate.noninferiority_margin), BettingTest()
    better, worse = compare(window, baseline, candidate, better, worse)
    name = baseline.manifest.version if baseline else THE_LOG
    decision, reason = decide_heldout(config, better, worse, name)
    verdict = Verdict(
        version=candidate.manifest.version,
        champion=name,
        decision=decision,
        by="evaluator",
        reason=UNBOUNDED if baseline and not least_propensity else reason,
        run=run_id,
        until=pc.max(window.table["timestamp"]).as_py(),
        better=better,
    )
    evaluation, needed = evaluate(window, baseline, candidate), Thresholds.of(config).heldout_better
    about = [_total(window.table)], needed, candidate.encoding.context.names
    return verdict, evaluation_summary(config, window, evaluation, verdict, worse, [], *about)


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
    if (lowest := pc.min(window.table["propensity"]).as_py()) < least_propensity:
        raise InvalidInput(f"least_propensity = {least_propensity:g}: the log has {lowest:g}; give at most that")
    return replace(window, left_out=usable.left_out.total(), least_propensity=least_propensity)


def _external(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The interactions as those of an unknown policy."""
    modes = pa.array(["external"] * batch.num_rows)
    return batch.set_column(batch.schema.get_field_index("mode"), batch.schema.field("mode"), modes)


def _total(table: pa.Table) -> dict[str, Any]:
    """What `Warehouse.policy_totals` tells of a version."""
    mean, rows = pc.mean(table["reward"]).as_py(), table.num_rows
    return {"version": THE_LOG, "interactions": rows, "rewarded": rows, "mean_reward": mean, "ignored": 0}
