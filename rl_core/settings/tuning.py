"""The tuning section: the search space, and how settings are compared."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from banditloop.rl_core.settings.section import Line, Section

AGENT_NAME = "agent.name"
Value = float | int | bool | str


class Parameter(Section):
    """The values of one setting to try: a range, or a list."""

    low: float | None = Field(None, description="smallest value to try")
    high: float | None = Field(None, description="largest value to try")
    log: bool = Field(False, description="spread the values evenly on a logarithmic scale")
    values: list[Value] = Field([], max_length=100, description="the values to try, instead of a range")
    agents: list[Line] = Field([], description="agents that this setting is tried with; empty: all that have it")

    @model_validator(mode="after")
    def _check(self) -> "Parameter":
        if self.values:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give either values, or low and high")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("give low and high, low < high, or a list of values")
        elif self.log and self.low <= 0:
            raise ValueError("a logarithmic scale begins above 0")
        return self

    @property
    def ends(self) -> list[Value]:
        """The values whose validity implies that of all others: the ends of the range, or all values."""
        return self.values or list(self.range())

    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of a range."""
        assert self.low is not None and self.high is not None
        return self.low, self.high

    def allows(self, value: Any) -> bool:
        """Whether a value is among those to try."""
        if self.values:
            return value in self.values
        low, high = self.range()
        return isinstance(value, int | float) and low <= value <= high


class SearchSpace(Section):
    """The settings to tune, by section and key."""

    agent: dict[str, Parameter] = Field({}, description="settings of the agent; `name` among them: agents to try")
    policy: dict[str, Parameter] = Field({}, description="settings of the policy, in simulation")
    on_policy: dict[str, Parameter] = Field({}, description="settings of on-policy training, where policies come of it")


class TuningSection(Section):
    """Which settings `banditloop tune` tries, and by what it compares them."""

    search_space: SearchSpace = Field(
        default_factory=SearchSpace,
        description="values to try, by key: agent.alpha = {low = 0.1, high = 10, log = true}, agent.l2 = {values = "
        "[0.3, 1]}, in simulation also of policy and on_policy; with agent.name, others are tried with the agents that "
        "have them",
    )
    objective: Literal["log", "simulation", "on_policy"] = Field(
        "log",
        description="what is maximised. log: the off-policy value on the log; simulation: the mean reward of a loop "
        "simulated in the environment; on_policy: the mean reward of a policy trained on-policy there (the same as "
        "simulation in a config with episodes)",
    )
    trials: int = Field(20, ge=1, le=10_000, description="settings to try")
    seeds: int = Field(
        5, ge=2, le=100, description="simulations of each trial or, on the log, folds of the cross-validation"
    )
    test_seeds: int = Field(
        20, ge=3, le=1000, description="fresh simulations that compare the best settings with the present ones"
    )
    interactions: int = Field(
        2000,
        ge=10,
        le=10_000_000,
        description="interactions of each simulation; of episodes, those that test a policy after its training",
    )
    parallel: int = Field(1, ge=1, le=1000, description="trials at a time")
    pruning: Literal["median", "hyperband", "none"] = Field(
        "median",
        description="which trials end after some of their seeds: those below the median, those that Hyperband ends, "
        "or none",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of the search")

    @property
    def agent_names(self) -> list[str]:
        """The agents to try; empty: the config's."""
        parameter = self.search_space.agent.get("name")
        return [str(value) for value in parameter.values] if parameter else []

    def parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its key, such as agent.alpha; that of the agent's name first."""
        keyed = [
            (f"{section}.{key}", value)
            for section in SearchSpace.model_fields
            for key, value in getattr(self.search_space, section).items()
        ]
        return iter(sorted(keyed, key=lambda item: item[0] != AGENT_NAME))
