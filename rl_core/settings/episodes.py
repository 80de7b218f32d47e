"""The episodes section: decisions in sequence, and how the rewards of their steps count together."""

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from banditloop.rl_core.settings.loop import RESERVED_REWARDS, YEAR
from banditloop.rl_core.settings.section import Line, Section
from banditloop.rl_core.settings.task import MAX_ID_LENGTH


def _check_reward_name(name: str) -> str:
    if name in RESERVED_REWARDS:
        raise ValueError("is an event of a decision, not a reward; give another name")
    if len(name) > MAX_ID_LENGTH:
        raise ValueError(f"give a name of at most {MAX_ID_LENGTH} characters")
    return name


RewardName = Annotated[Line, AfterValidator(_check_reward_name)]


class EpisodesSection(Section):
    """Sequential decisions: what a reward some steps later is worth, and when an episode is over."""

    discount: float = Field(0.99, gt=0, le=1, description="what a reward of 1 is worth one step before it is earned")
    window_seconds: float = Field(
        86_400.0,
        gt=0,
        le=YEAR,
        description="seconds after its first decision when an episode that nothing ended is taken as cut off",
    )
    max_steps: int = Field(
        1_000, ge=1, le=1_000_000, description="steps after which an episode is cut off, in simulation and in the log"
    )
    multi_step: int = Field(
        1, ge=1, le=1_000, description="steps whose rewards are summed before the value of what follows is estimated"
    )
    rewards: dict[RewardName, float] = Field(
        {}, description="weight of each named reward in the reward of a step; empty: reward.name alone, with weight 1"
    )
    return_range: list[float] | None = Field(
        None,
        description="least and greatest return, where you know a narrower range than rewards and max_steps imply: gate "
        "and canary decide sooner; returns beyond count as these",
    )
    metrics: list[RewardName] = Field([], description="names of rewards that are evaluated on their own, too")

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, metrics: list[str]) -> list[str]:
        if len(set(metrics)) < len(metrics):
            raise ValueError("a name occurs twice")
        return metrics

    @field_validator("return_range")
    @classmethod
    def _check_return_range(cls, values: list[float] | None) -> list[float] | None:
        if values is not None and (len(values) != 2 or not values[0] < values[1]):
            raise ValueError("give the least and the greatest return, as [0, 200]")
        return values

    def weights(self, reward_name: str) -> dict[str, float]:
        """The weight of each named reward in the reward of a step; reward_name: the one that counts alone otherwise."""
        return self.rewards or {reward_name: 1.0}

    def value_names(self, reward_name: str) -> list[str]:
        """The names of all rewards that have a value of a step: those with a weight, then the other metrics."""
        return list(dict.fromkeys([*self.weights(reward_name), *self.metrics]))
