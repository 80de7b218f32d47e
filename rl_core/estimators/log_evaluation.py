"""Off-policy evaluation of a table of logged decisions, without a loop or a config.

>>> log = {"reward": [0, 1, 1, 0], "propensity": [0.5] * 4, "target": [0.9, 0.1, 0.9, 0.1]}
>>> evaluate(log).summary["estimates"]["ips"]["value"]
0.5
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from banditloop.rl_core.estimators import frames
from banditloop.rl_core.estimators.diagnostics import Diagnostics
from banditloop.rl_core.estimators.difference import Difference
from banditloop.rl_core.estimators.estimator import Estimator, Logged
from banditloop.rl_core.estimators.log_inputs import LogInputs, Side, read_inputs
from banditloop.rl_core.estimators.log_table import table
from banditloop.rl_core.estimators.power import POWER, difference_variance, interactions_needed
from banditloop.rl_core.estimators.segments import Segments, segments
from banditloop.rl_core.estimators.value_interval import informative_interval
from banditloop.rl_core.evidence.propensity_audit import ALARM_LEVEL, PropensityAudit
from banditloop.rl_core.settings.reward_range import RewardRange

ALARM_ERRORS = 4.0  # standard errors of the mean weight from 1 that raise the alarm
LEAST_VARIANCE = 1e-15  # of a difference of rewards in [0, 1]; smaller ones are rounding errors


@dataclass(frozen=True)
class LogEvaluation:
    """What a log says about a policy: plain numbers in units of the reward. `print` shows them in 80 columns."""

    summary: dict[str, Any]

    def __str__(self) -> str:
        return table(self.summary)


def evaluate(
    log: Any,
    *,
    reward: frames.Column = "reward",
    propensity: frames.Column = "propensity",
    target: frames.Probabilities = "target",
    baseline: frames.Probabilities | None = None,
    action: frames.Column | None = None,
    features: Sequence[str] | np.ndarray = (),
    probabilities: frames.Probabilities | None = None,
    sample_weight: frames.Column | None = None,
    by: str | Sequence[str] | Mapping[str, frames.Column] = (),
    reward_range: tuple[float, float] = (0.0, 1.0),
    max_weight: float = math.inf,
    detect: float | None = None,
    level: float = 0.95,
) -> LogEvaluation:
    """What a log says about a policy: its mean reward, and the difference to a baseline.

    log: a table whose columns are read as `log["reward"]`: a DataFrame, an Arrow table, a mapping of arrays. Wherever
        the name of a column is given, its values may be given instead.
    reward: in `reward_range`; propensity: in (0, 1], with which the logged action was chosen.
    target: the policy's probability of the logged action; or of all actions, as columns by action or an array [B, K].
        Probabilities of all actions, with `action` and `features`, add estimates by a cross-fitted reward model.
    baseline: the policy to compare with, in the form of `target`; None: the logging policy.
    action: the logged action: its id if `target` is given by action, else its position in `target`.
    features: columns of the context, numbers, booleans or texts; or observations [B, dim].
    probabilities: of all actions under the logging policy, in the form of `target`, for the propensity audit.
    sample_weight: inverse probability with which the decision was logged, if not all were.
    by: a column, or several, whose values divide the log into segments. Intervals are not corrected for the number of
        segments.
    max_weight: the largest weight that is possible for any user, 1 / the least propensity: intervals are narrower.
    detect: a difference in units of the reward; the summary has the number of interactions that detect it, by
        `estimators.power`.

    Raises:
        InvalidInput: the log has no such column, or a value is missing or outside its range; names it and its row.
    """
    given = {"reward": reward, "propensity": propensity, "target": target, "baseline": baseline, "action": action}
    given |= {"features": features, "probabilities": probabilities, "sample_weight": sample_weight}
    inputs = read_inputs(log, RewardRange(*reward_range), max_weight, **given)
    columns = {name: frames.column(log, each, "by") for name, each in frames.columns(by).items()}
    frames.check_rows(len(inputs.weights), {f"by.{name}": values for name, values in columns.items()})
    members = {name: segments(name, values) for name, values in columns.items()}
    return LogEvaluation(
        _finite(_summary(inputs, members, level, detect, None if baseline is None else "the baseline"))
    )


def _summary(
    inputs: LogInputs, members: Mapping[str, Segments], level: float, detect: float | None, baseline: str | None
) -> dict[str, Any]:
    """What the log says; members: the segments of each column; baseline: the name of the baseline, if one was given."""
    rewards, gain = inputs.rewards, _difference(inputs.target, inputs.baseline)
    return {
        "interactions": len(inputs.target.logged.reward),
        "level": level,
        "reward_range": list(rewards),
        "mean_reward": rewards.unscale(float(np.average(inputs.target.logged.reward, weights=inputs.weights))),
        "baseline": baseline or "the log",
        "estimates": _estimates(inputs.target, rewards, level),
        "baseline_estimates": _estimates(inputs.baseline, rewards, level) if baseline else {},
        "difference": _interval(gain, RewardRange(0.0, rewards.span), level, -1.0),
        "diagnostics": _diagnostics(inputs.target.logged),
        "audit": _audit(inputs),
        "segments": _segments(members, inputs, level),
        "detect": None if detect is None else _detect(gain, detect, rewards.span, level),
    }


def _estimates(side: Side, rewards: RewardRange, level: float) -> dict[str, Any]:
    """Every estimator's value, standard error and interval."""
    estimates = {}
    for name, estimator in side.estimators().items():
        estimator.add(side.logged)
        error = {"standard_error": estimator.standard_error() * rewards.span}
        estimates[name] = _interval(estimator, rewards, level) | error
    return estimates


def _difference(target: Side, baseline: Side) -> Difference:
    return Difference().add(target.with_model(), baseline.with_model())


def _interval(
    estimator: Estimator | Difference, scale: RewardRange, level: float, least: float = 0.0
) -> dict[str, float]:
    low, high = informative_interval(estimator.interval(level), least)
    return {"value": scale.unscale(estimator.value()), "low": scale.unscale(low), "high": scale.unscale(high)}


def _diagnostics(logged: Logged) -> dict[str, Any]:
    """Whether the log can support the estimates: the weights, whose mean must be 1."""
    sums = Diagnostics.of(logged)
    mean, error = sums.mean_weight()
    return {
        "effective_sample_size": sums.effective_sample_size(),
        "largest_weight": sums.max_weight,
        "without_overlap": sums.without_overlap / max(1, sums.count),
        "mean_weight": mean,
        "mean_weight_error": error,
        "least_propensity": float(logged.propensity.min()),
        "alarm": bool(abs(mean - 1) > ALARM_ERRORS * error + frames.TOLERANCE),
    }


def _audit(inputs: LogInputs) -> dict[str, Any] | None:
    """Whether actions were chosen as often as the logged probabilities of all actions say; None without these."""
    if inputs.probabilities is None or inputs.actions is None:
        return None
    probabilities, propensity = frames.normalised(inputs.probabilities), inputs.target.logged.propensity
    own = probabilities[np.arange(len(propensity)), inputs.actions]
    rounding = np.abs(inputs.probabilities.sum(axis=1) - 1)  # a propensity that is as far from its own is as rounded
    propensity = np.where(np.abs(own - propensity) <= rounding, own, propensity)
    audit = PropensityAudit.of(inputs.actions, propensity, probabilities)
    return {"passes": audit.passes(ALARM_LEVEL), "log_wealth": audit.log_wealth(), "text": audit.explain()}


def _segments(members: Mapping[str, Segments], inputs: LogInputs, level: float) -> list[dict[str, Any]]:
    """For every segment its share of all traffic, the target's value there, and its difference to the baseline."""
    rows, difference_range = [], RewardRange(0.0, inputs.rewards.span)
    for label, is_member in (item for by_label in members.values() for item in by_label.items()):
        target, baseline = inputs.target.take(is_member), inputs.baseline.take(is_member)
        estimator = target.estimators()[target.primary]
        estimator.add(target.logged)
        difference = _interval(_difference(target, baseline), difference_range, level, -1.0)
        rows.append(
            {"segment": label, "interactions": int(is_member.sum())}
            | {"fraction": float(inputs.weights[is_member].sum() / inputs.weights.sum())}
            | _interval(estimator, inputs.rewards, level)
            | {"difference": difference["value"]}
            | {f"difference_{end}": difference[end] for end in ("low", "high")}
        )
    return rows


def _detect(gain: Difference, detect: float, span: float, level: float) -> dict[str, Any]:
    """How many interactions detect a difference; None where the terms of the difference have no variance."""
    variance = difference_variance(gain.value_sums)
    observed = variance if variance >= LEAST_VARIANCE else 0.0
    needed = interactions_needed(observed, detect / span, level, POWER) or None
    return {"difference": detect, "power": POWER, "interactions": needed, "standard_deviation": variance**0.5 * span}


def _finite(content: Any) -> Any:
    """The same content with None for infinite numbers and NaN, which JSON lacks."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
