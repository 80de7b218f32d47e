"""What logged episodes say about a policy, as plain numbers: every estimator, of the reward and of every metric."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.estimators.episodes import applicable
from banditloop.rl_core.estimators.episodes.diagnostics import diagnostics, has_interval, warnings
from banditloop.rl_core.estimators.episodes.estimate import Estimate, weighted_mean
from banditloop.rl_core.estimators.episodes.fitted_values import FittedValues
from banditloop.rl_core.estimators.episodes.logged_episodes import EpisodeRows, LoggedEpisodes
from banditloop.rl_core.estimators.episodes.step_features import StepFeatures, depends_on_step

Numbers = dict[str, float | None]  # None: not defined, or too little to tell


@dataclass(frozen=True)
class Side:
    """Logged episodes with the probabilities of one policy.

    target: its probabilities, of all actions [B, actions] or of the logged ones [B]. features: of the steps, as
    `step_features.observed_features` has them; None: there is no model of values.
    """

    transitions: Transitions
    target: np.ndarray
    features: StepFeatures | None = None

    @cached_property
    def logged(self) -> LoggedEpisodes:
        """The episodes with the transitions' rewards and without a model."""
        return LoggedEpisodes.of(self.transitions, self.target)

    def episodes(self, *rewards: np.ndarray) -> list[LoggedEpisodes]:
        """The episodes once for each of the rewards [B], and with a model of their values if there are features."""
        pad = EpisodeRows(self.transitions.episodes).pad
        episodes = [self.logged.with_rewards(pad(column)) for column in rewards]
        if self.features is None:
            return episodes
        return FittedValues(self.transitions, self.target, self.features).fit(*episodes)

    def estimates(self, episodes: LoggedEpisodes) -> dict[str, Estimate]:
        """The estimates by the name of every estimator that applies, the one to look at first in front."""
        return {name: estimator(episodes) for name, estimator in applicable(self.features is not None).items()}

    @cached_property
    def diagnostics(self) -> dict[str, Any]:
        """Whether the log supports the estimates."""
        return diagnostics(self.logged)

    def warnings(self) -> list[str]:
        """What an operator should know before relying on the estimates, one line each."""
        steps, has_model = self.transitions, self.features is not None
        follows = steps.episodes[1:] == steps.episodes[:-1]
        cut_off = int((~steps.is_known[~np.append(follows, False)]).sum())
        gaps = len(np.unique(steps.episodes[1:][follows & (np.diff(steps.steps) > 1)]))
        on_step = has_model and depends_on_step(steps)
        return warnings(self.diagnostics, len(self.logged.shares), cut_off, gaps, has_model, on_step)

    def has_interval(self, name: str) -> bool:
        """Whether an estimator's interval is reported, which is where it keeps its level."""
        return has_interval(name, self.logged)


def evaluation(
    target: Side, baseline: Side | None = None, metrics: Mapping[str, np.ndarray] | None = None, level: float = 0.95
) -> dict[str, Any]:
    """The evaluation as plain numbers: for the reward and every metric, the log's mean, estimates and the difference.

    baseline: the same episodes with the policy to compare with; None: the logging policy. metrics: the rewards [B] of
    every metric.
    """
    rewards = {"reward": target.transitions.rewards} | dict(metrics or {})
    sides = [target] if baseline is None else [target, baseline]
    episodes = [side.episodes(*rewards.values()) for side in sides]
    return {
        "episodes": len(target.logged.shares),
        "interactions": len(target.transitions.rewards),
        "level": level,
        "primary": next(iter(applicable(target.features is not None))),
        "returns": {name: _of_reward(sides, each, level) for name, *each in zip(rewards, *episodes, strict=True)},
        "diagnostics": target.diagnostics,
        "warnings": target.warnings(),
    }


def _of_reward(sides: Sequence[Side], episodes: Sequence[LoggedEpisodes], level: float) -> dict[str, Any]:
    """The log's mean, the estimates and the difference, of one reward; episodes: of each side, the target's first."""
    logged = weighted_mean(episodes[0].returns, episodes[0].shares)
    estimates = [side.estimates(each) for side, each in zip(sides, episodes, strict=True)]
    rows = [_rows(side, by_estimator, logged, level) for side, by_estimator in zip(sides, estimates, strict=True)]
    first = next(iter(estimates[0]))
    compared = estimates[1][first] if len(sides) > 1 else logged
    have_intervals = all(side.has_interval(first) for side in sides)
    return {
        "logged": numbers(logged, level),
        "estimates": rows[0],
        "baseline_estimates": rows[1] if len(sides) > 1 else {},
        "difference": numbers(estimates[0][first] - compared, level, have_intervals),
    }


def _rows(side: Side, estimates: dict[str, Estimate], logged: Estimate, level: float) -> dict[str, Numbers]:
    """The estimates, each also relative to the mean return of the log."""
    rows = {}
    for name, estimate in estimates.items():
        relative = numbers(estimate / logged, level, side.has_interval(name))
        row = numbers(estimate, level, side.has_interval(name))
        rows[name] = row | {f"relative_{key}": value for key, value in relative.items()}
    return rows


def numbers(estimate: Estimate, level: float, has_interval: bool = True) -> Numbers:
    """Value, standard error and interval; without the latter where it would not keep its level."""
    low, high = estimate.interval(level) if has_interval else (math.nan, math.nan)
    values = {"value": estimate.value, "standard_error": estimate.standard_error(), "low": low, "high": high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
