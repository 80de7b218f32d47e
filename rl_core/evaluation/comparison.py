"""Comparison of a candidate with the champion: betting tests updated with a window of the log."""

from datetime import datetime

import numpy as np

from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evaluation.interactions import predicted_rewards
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy


def compare(
    window: LoggedWindow,
    champion: SavedPolicy | None,
    candidate: SavedPolicy,
    better: BettingTest,
    worse: BettingTest,
) -> tuple[BettingTest, BettingTest]:
    """Update the evidence that the candidate earns more, and less, with a window that neither was trained on.

    champion None: the logging policy. The reward model is the candidate's own, which was not fitted to these decisions
    either. Decisions of unknown policies are evidence against a champion only if their least propensity is known.
    """
    unbounded = champion is not None and not window.least_propensity
    for batch in (window.of_known_policies if unbounded else window).batches():
        predictions = predicted_rewards(candidate, window.config, batch.interactions)
        (of_candidate, _), (of_champion, _) = window.logged_for(batch, [candidate, champion], predictions)
        better = better.add(of_candidate, of_champion)
        worse = worse.add_losses(of_candidate, of_champion)
    return better, worse


def user_level_evidence(window: LoggedWindow, champion: str, challenger: str, worse: BettingTest) -> BettingTest:
    """Update the evidence that users served by the challenger earn less, comparing by assigned version, not by action.

    It needs more users than the comparison of actions, and detects what that cannot: a version that does harm although
    it takes the same actions. Interactions with an unknown share of the traffic are left out.
    """
    versions = list(window.policies)
    if champion not in versions or challenger not in versions:
        return worse
    compared = [versions.index(version) for version in (challenger, champion)]
    for batch in window.batches():
        both_served = (batch.mix[:, compared] > 0).all(axis=1)
        rewards, mix = batch.interactions.rewards[both_served], batch.mix[both_served]
        logged_by = batch.logged_by[both_served]
        propensity = mix[np.arange(len(logged_by)), logged_by]
        sides = [
            Logged(rewards, propensity, (logged_by == policy) * 1.0, max_weight=1 / mix[:, policy])
            for policy in compared
        ]
        worse = worse.add_losses(*sides)
    return worse


def candidate_line(
    verdicts: list[Verdict], champion: str, version: str, margin: float
) -> tuple[datetime | None, BettingTest]:
    """The log time up to which the line of candidates of a champion was evaluated, and the next candidate's evidence.

    The time is None, and the evidence empty, for the first candidate. Others continue the evidence of the evaluator's
    last verdict on another candidate, unless that was promoted: a promotion uses the evidence up.
    """
    line = [
        verdict
        for verdict in verdicts
        if verdict.by == "evaluator"
        and verdict.champion == champion
        and verdict.version != version
        and verdict.better.margin == margin
    ]
    if not line:
        return None, BettingTest(margin=margin)
    # Not the last one's: its log may end before that of a candidate before it, whose evidence it continues.
    until = max((verdict.until for verdict in line if verdict.until), default=None)
    used_up = line[-1].decision == "promote"
    return until, BettingTest(margin=margin) if used_up else line[-1].better.next_candidate()
