"""Evaluation summary: plain numbers in units of the reward, written as JSON and drawn as a page."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.estimators import Estimator
from banditloop.rl_core.estimators.difference import Difference
from banditloop.rl_core.estimators.value_interval import TOO_LITTLE, informative_interval
from banditloop.rl_core.evaluation.estimates import WEIGHT_EDGES, Evaluation, PolicyEstimates
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.evaluation.window_audit import audit_window
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.evidence.propensity_audit import ALARM_LEVEL
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.settings.reward_range import RewardRange

Summary = dict[str, Any]
SEGMENTS_SHOWN, ACTIONS_SHOWN = 12, 50
LEVEL = 0.95


def evaluation_summary(
    config: Config,
    window: LoggedWindow,
    evaluation: Evaluation,
    verdict: Verdict,
    worse: BettingTest,
    verdicts: list[Verdict],
    totals: list[dict[str, Any]],
    needed: float,
    feature_names: Sequence[str],
) -> Summary:
    """The verdict with its evidence, estimates and diagnostics; None for unknown or infinite numbers.

    Where an interval says nothing, its bounds are None, and its name is listed under "too little to tell".

    verdicts: the earlier ones; totals: of the warehouse, per version; needed: odds against chance for a promotion;
    feature_names: of the candidate's observations.
    """
    rewards = config.task.rewards
    differences = RewardRange(0.0, rewards.span)
    wealths = {"better": verdict.better.log_wealth(), "worse": worse.log_wealth()}
    summary = finite(
        {
            "verdict": verdict.model_dump(mode="json", exclude={"better"}) | wealths,
            "interactions": evaluation.interactions,
            "unknown_version_rows": window.unknown_version_rows,
            "left_out": window.left_out,
            "propensity_audit": {
                "log_wealth": audit_window(window).log_wealth(),
                "needed": -math.log(ALARM_LEVEL),
            },
            "logging_mix": window.logging_mix,
            **rewards_of_versions(totals),
            "difference": _estimate(evaluation.difference, differences, least=-1.0),
            **_by_policy(evaluation, rewards),
            "wealth": wealth_of_line([*verdicts, verdict], verdict.champion),
            "needed": math.log(needed),
            "segments": _segments(evaluation, differences, feature_names),
            "action_ids": list(window.ids),
            "by_action": _by_action(evaluation, rewards, window.ids),
            "level": LEVEL,
        }
    )
    return summary | {TOO_LITTLE: _too_little(summary)}


def _by_policy(evaluation: Evaluation, rewards: RewardRange) -> Summary:
    """Estimates, diagnostics, weights and actions, each for the candidate and for the champion."""
    policies = {"candidate": evaluation.candidate, "champion": evaluation.champion}
    return {
        "estimates": {
            name: {key: _estimate(policy.estimators[name], rewards) for key, policy in policies.items()}
            for name in evaluation.candidate.estimators
        },
        "diagnostics": {key: _diagnostics(policy) for key, policy in policies.items()},
        "weights": {"edges": WEIGHT_EDGES.tolist()}
        | {key: policy.weight_counts.tolist() for key, policy in policies.items()},
        "actions": {
            key: (policy.action_counts / max(1.0, policy.action_counts.sum())).tolist()
            for key, policy in policies.items()
        },
    }


def _by_action(evaluation: Evaluation, rewards: RewardRange, ids: Sequence[str]) -> list[Summary]:
    """Of the actions that were logged most: how often each policy takes them, and what the logged ones earned."""
    earned, counts = evaluation.earned, {"candidate": evaluation.candidate, "champion": evaluation.champion}
    shares = {key: policy.action_counts / max(1.0, policy.action_counts.sum()) for key, policy in counts.items()}
    rows = []
    for action in np.argsort(-earned.counts, kind="stable")[:ACTIONS_SHOWN].tolist():
        mean, *interval = earned.earned(action, LEVEL)
        low, high = informative_interval((interval[0], interval[1]))
        rows.append(
            {"action": ids[action], "interactions": int(earned.counts[action]), "logged": earned.shares()[action]}
            | {key: share[action] for key, share in shares.items()}
            | {"value": rewards.unscale(mean), "low": rewards.unscale(low), "high": rewards.unscale(high)}
        )
    return rows


def kfp_metrics(summary: Summary) -> dict[str, float]:
    """The metrics that KFP and Vertex AI show, without unknown ones."""
    dr, candidate = summary["estimates"]["dr"], summary["diagnostics"]["candidate"]
    estimates = {"candidate_dr": dr["candidate"], "champion_dr": dr["champion"], "difference": summary["difference"]}
    metrics = {
        "held_out_interactions": summary["interactions"],
        **{name: row["value"] for name, row in estimates.items()},
        **{f"{name}_{bound}": row[bound] for name, row in estimates.items() for bound in ("low", "high")},
        "log_wealth_better": summary["verdict"]["better"],
        "log_wealth_worse": summary["verdict"]["worse"],
        "log_wealth_needed": summary["needed"],
        "effective_sample_size": candidate["effective_sample_size"],
        "mean_weight": candidate["mean_weight"],
        "reward_coverage": summary["coverage"],
    }
    return {name: value for name, value in metrics.items() if value is not None}


def _estimate(estimator: Estimator | Difference, scale: RewardRange, least: float = 0.0) -> Summary:
    """An estimate and its interval in units of the reward; without bounds if they say nothing.

    least: the smallest possible value in [-1, 1]; the largest is 1.
    """
    low, high = informative_interval(estimator.interval(LEVEL), least)
    return {"value": scale.unscale(estimator.value()), "low": scale.unscale(low), "high": scale.unscale(high)}


def _too_little(summary: Summary) -> list[str]:
    """The names of the estimates whose intervals say nothing."""
    rows = {"difference": summary["difference"]}
    for name, sides in summary["estimates"].items():
        rows |= {f"{name} {side}": row for side, row in sides.items()}
    return [name for name, row in rows.items() if row["low"] is None]


def _diagnostics(policy: PolicyEstimates) -> Summary:
    """The diagnostics of a policy's importance weights; without_overlap is a fraction of the interactions."""
    diagnostics = policy.diagnostics
    return {
        "effective_sample_size": diagnostics.effective_sample_size(),
        "largest_weight": diagnostics.max_weight,
        "without_overlap": diagnostics.without_overlap / max(1, diagnostics.count),
        "mean_weight": diagnostics.mean_weight()[0],
    }


def rewards_of_versions(totals: list[dict[str, Any]]) -> Summary:
    """What versions earned; coverage is the fraction of all interactions that have a reward."""
    interactions = sum(row["interactions"] for row in totals)
    return {
        "coverage": sum(row["rewarded"] for row in totals) / max(1, interactions),
        "ignored": sum(row["ignored"] for row in totals),
        "learning": [{key: row[key] for key in ("version", "interactions", "mean_reward")} for row in totals],
    }


def wealth_of_line(verdicts: list[Verdict], champion: str) -> list[Summary]:
    """The evidence of the line of candidates after each of the evaluator's verdicts against this champion."""
    line = [verdict for verdict in verdicts if verdict.by == "evaluator" and verdict.champion == champion]
    return [{"version": v.version, "log_wealth": v.better.log_wealth(), "interactions": v.better.count} for v in line]


def _segments(evaluation: Evaluation, differences: RewardRange, feature_names: Sequence[str]) -> list[Summary]:
    """The users below or above the mean of a feature for whom the policies differ most, if the log can tell."""
    segments = evaluation.segments
    rows: list[Summary] = [
        {"segment": segment_name(name, side), "fraction": segments.fraction(half, feature)}
        | _estimate(segments.difference(half, feature), differences, least=-1.0)
        for half, side in enumerate(("below", "above"))
        for feature, name in enumerate(feature_names)
        if segments.counts[half, feature] > 1
    ]
    with_interval = [row for row in rows if np.isfinite(row["low"])]
    return sorted(with_interval, key=lambda row: -abs(row["value"]))[:SEGMENTS_SHOWN]


def segment_name(name: str, side: str) -> str:
    """The users below or above the mean of a feature; of a category, as country=DE, those without or with it."""
    if "=" in name:
        return name if side == "above" else f"not {name}"
    return f"{name} {side} its mean"


def finite(content: Any) -> Any:
    """The same content with plain Python numbers, and None for infinite numbers and NaN, which JSON lacks."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float | np.floating):
        return float(content) if math.isfinite(content) else None
    return content
