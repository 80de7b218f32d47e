"""The config sections of rewards, policies, evaluation, releases and retraining."""

import math
from typing import Literal

from pydantic import Field, field_validator

from banditloop.rl_core.settings.section import Line, PathText, Section
from banditloop.rl_core.settings.task import MAX_ID_LENGTH

ACTIVATION = "activation"  # name of the reward that activates a deferred decision
TERMINAL, TRUNCATED = (
    "terminal",
    "truncated",
)  # names of events: an episode ended, or was cut off, with a decision
RESERVED_REWARDS = (ACTIVATION, TERMINAL, TRUNCATED)
YEAR = 366 * 24 * 3600.0


class RewardSection(Section):
    """How rewards are joined to their decisions."""

    name: Line = Field(
        "reward", max_length=MAX_ID_LENGTH, description="name of the reward to train on; others are only stored"
    )
    attribution_window_seconds: float = Field(
        10.0, gt=0, le=YEAR, description="seconds after a decision within which a reward counts"
    )
    default: float | Literal["ignore"] = Field(
        0.0,
        description="reward of a decision without any in the attribution window; ignore: it is left out of training "
        "and evaluation",
    )
    aggregation: Literal["first", "last", "sum", "mean", "max", "min"] = Field(
        "first", description="how several rewards of one decision become one"
    )

    @property
    def of_missing(self) -> float | None:
        """The reward of a decision without any; None: it is left out."""
        return None if self.default == "ignore" else self.default

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name in RESERVED_REWARDS:
            raise ValueError("is an event of a decision, not a reward; give another name")
        return name


class PolicySection(Section):
    """Settings of every policy, whatever its agent."""

    exploration: float = Field(
        0.01,
        gt=0,
        le=1,
        description="fraction of decisions drawn uniformly, so that other policies can be evaluated. Default: 0.01 "
        "with linear_thompson, neural_linear and ppo, which explore by themselves; 0.05 with all other agents",
    )
    new_action_exploration: float = Field(
        0.1,
        ge=0,
        le=1,
        description="least probability of each action that joined later, until it was tried `new_action_trials` times; "
        "all of them together get at most half",
    )
    new_action_trials: int = Field(50, ge=0, description="interactions after which an action is no longer new")
    saved_model: bool = Field(
        True,
        description="write a TF-Agents SavedModel beside the weights; a linear policy is served without it",
    )


class GateSection(Section):
    """The evidence that a candidate needs before it replaces the champion."""

    holdout_fraction: float = Field(
        0.1, gt=0, le=0.5, description="fraction of interactions held out from training for evaluation"
    )
    alpha: float = Field(
        0.05, gt=0, lt=1, description="probability of ever promoting a candidate while none is better than the champion"
    )
    noninferiority_margin: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="how much less than the champion a candidate may earn, as a fraction of the reward range",
    )


class ReleaseSection(Section):
    """How a candidate without sufficient evidence is tested on live traffic, and when it is rolled back."""

    canary_percent: int = Field(
        20, ge=0, le=99, description="percent of the traffic that a canary serves; 0: a shadow, logged but not shown"
    )
    check_every_interactions: int = Field(50, ge=1, description="new interactions between two checks of the canary")
    max_failure_rate: float = Field(
        0.01, ge=0, le=1, description="fraction of failed requests of a canary above which it is rolled back"
    )
    max_p95_latency_ms: float = Field(
        100.0,
        gt=0,
        description="95th percentile of a canary's latency, in milliseconds, above which it is rolled back "
        "if it is also above twice the champion's",
    )


FIRST_INTERACTIONS = 50  # of the random policy: fewer mislead where rewards are rare (tests/benchmarks/learn.py, wheel)
FEWEST_NEW_INTERACTIONS = 8  # that are worth a retraining


class RetrainingSection(Section):
    """When a retraining is submitted: as soon as either condition holds.

    While few interactions were learned from, each new one says much: retraining starts after few, and then after more
    and more, up to `min_new_interactions`.
    """

    min_new_interactions: int = Field(
        500, ge=1, description="new interactions that start a retraining, however many were learned from before"
    )
    growth: float = Field(
        0.2,
        gt=0,
        description="new interactions that start an earlier one, as a fraction of those learned from before; at least "
        f"{FEWEST_NEW_INTERACTIONS}, and {FIRST_INTERACTIONS} at first",
    )
    max_interval_seconds: float = Field(
        3600.0, gt=0, le=YEAR, description="seconds after which a retraining starts if there are any new interactions"
    )
    template: PathText = Field(
        "build/pipelines/retraining.yaml",
        description="path of the compiled retraining pipeline. `banditloop serve` and `loop` write this package's "
        "to its folder, as retraining.yaml and startup.yaml, but keep files that were compiled from other pipelines",
    )

    def needed(self, learned_from: int) -> int:
        """The number of new interactions that start a retraining, after that many were learned from before."""
        fewest = FEWEST_NEW_INTERACTIONS if learned_from else FIRST_INTERACTIONS
        return min(self.min_new_interactions, max(fewest, math.ceil(self.growth * learned_from)))
