"""An evaluation as plain figures, in the reward's own units: what is written as JSON and drawn as a page."""

import math
from typing import Any

import numpy as np

from rl_core.config import Config
from rl_core.estimators import Estimator
from rl_core.estimators.sequential import Gate
from rl_core.evaluation.contest import PLACES
from rl_core.evaluation.evaluate import WEIGHT_EDGES, Evaluation, Side
from rl_core.evaluation.stretch import Stretch
from rl_core.release import Verdict

Figures = dict[str, Any]
SEGMENTS_SHOWN = 12
NORMAL_95 = 1.96


def figures(
    config: Config,
    stretch: Stretch,
    found: Evaluation,
    verdict: Verdict,
    worse: Gate,
    verdicts: list[Verdict],
    totals: list[dict[str, Any]],
) -> Figures:
    """Everything there is to tell of a verdict; None stands for what is not known or not finite."""
    low, high = config.environment.bounds
    sides = {"candidate": found.candidate, "champion": found.champion}
    shown = verdict.model_dump(mode="json", exclude={"better"})
    return _finite(
        {
            "verdict": shown | {"better": verdict.better.wealth(), "worse": worse.wealth()},
            "interactions": found.interactions,
            "left_out": stretch.left_out,
            "clipped": found.clipped,
            "shares": stretch.shares,
            "coverage": _coverage(totals),
            "estimates": {
                name: {side: _estimate(of.estimators[name], low, high) for side, of in sides.items()}
                for name in found.candidate.estimators
            },
            "difference": _estimate(found.difference, 0.0, high - low),
            "diagnostics": {side: _diagnostics(of) for side, of in sides.items()},
            "weights": {"edges": WEIGHT_EDGES.tolist()} | {side: of.weights.tolist() for side, of in sides.items()},
            "wealth": _wealth([*verdicts, verdict], verdict.champion),
            "needed": math.log(PLACES / config.gate.alpha),
            "learning": [{key: row[key] for key in ("version", "interactions", "mean_reward")} for row in totals],
            "actions": {side: (of.actions / max(1, found.interactions)).tolist() for side, of in sides.items()},
            "segments": _segments(found, high - low),
        }
    )


def metrics(found: Figures) -> dict[str, float]:
    """What KFP and Vertex AI show of it."""
    dr, candidate = found["estimates"]["dr"], found["diagnostics"]["candidate"]
    every = {
        "held_out_interactions": found["interactions"],
        "candidate_dr": dr["candidate"]["value"],
        "champion_dr": dr["champion"]["value"],
        "difference": found["difference"]["value"],
        "difference_low": found["difference"]["low"],
        "difference_high": found["difference"]["high"],
        "log_wealth_better": found["verdict"]["better"],
        "log_wealth_worse": found["verdict"]["worse"],
        "log_wealth_needed": found["needed"],
        "effective_sample_size": candidate["effective_sample_size"],
        "mean_weight": candidate["mean_weight"],
        "reward_coverage": found["coverage"],
    }
    return {name: figure for name, figure in every.items() if figure is not None}


def _estimate(estimator: Estimator, low: float, span_end: float) -> Figures:
    value, (below, above) = estimator.value(), estimator.interval()
    return {key: low + (span_end - low) * x for key, x in (("value", value), ("low", below), ("high", above))}


def _diagnostics(side: Side) -> Figures:
    found = side.diagnostics
    mean, error = found.mean_weight()
    return {
        "effective_sample_size": found.effective_sample_size(),
        "largest_weight": found.largest,
        "without_overlap": found.without_overlap / max(1, found.count),
        "mean_weight": mean,
        "mean_weight_low": mean - NORMAL_95 * error,
        "mean_weight_high": mean + NORMAL_95 * error,
    }


def _coverage(totals: list[dict[str, Any]]) -> float:
    return sum(row["rewarded"] for row in totals) / max(1, sum(row["interactions"] for row in totals))


def _wealth(verdicts: list[Verdict], champion: str) -> list[Figures]:
    """The lineage's evidence after every look: by the evaluator for each of its candidates."""
    line = [verdict for verdict in verdicts if verdict.by == "evaluator" and verdict.champion == champion]
    return [{"version": v.version, "log_wealth": v.better.wealth(), "interactions": v.better.count} for v in line]


def _segments(found: Evaluation, span: float) -> list[Figures]:
    """Users below and above the mean of each feature, where the policies differ most surely."""
    means, errors = found.segments.differences()
    rows = [
        {
            "segment": f"feature {feature} {half} its mean",
            "share": found.segments.counts[place, feature] / max(1, found.interactions),
            "value": span * means[place, feature],
            "low": span * (means - NORMAL_95 * errors)[place, feature],
            "high": span * (means + NORMAL_95 * errors)[place, feature],
        }
        for place, half in enumerate(("below", "above"))
        for feature in range(means.shape[1])
    ]
    known = [row for row in rows if np.isfinite(row["low"])]
    return sorted(known, key=lambda row: -abs(row["value"]))[:SEGMENTS_SHOWN]


def _finite(content: Any) -> Any:
    """The same with plain Python numbers, and None for those that JSON does not know."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float | np.floating):
        return float(content) if math.isfinite(content) else None
    return content
