"""Trials: settings, and what was measured of them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import ExperimentRun, Trial
from banditloop.rl_core.settings.search_space import with_parameters

EXPLORATION = "policy.exploration"
Parameters = dict[str, Any]  # by key, as agent.alpha


def measured(
    number: int, parameters: Parameters, state: Literal["complete", "pruned", "failed"], values: Sequence[float]
) -> Trial:
    """The trial with these measured values, one per seed."""
    mean = float(np.mean(values)) if values else None
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return Trial(number, parameters, state, mean, error, len(values))


def runs_of(trials: Sequence[Trial], tuning: str) -> list[ExperimentRun]:
    """The trials of a tuning, by its name, as runs of an experiment."""
    return [_run(trial, f"{tuning}-trial-{trial.number}") for trial in trials]


def _run(trial: Trial, name: str) -> ExperimentRun:
    numbers = {"value": trial.value, "standard_error": trial.standard_error, "seeds": trial.seeds}
    metrics = {key: value for key, value in numbers.items() if value is not None}
    return ExperimentRun(name, trial.parameters, metrics, "FAILED" if trial.state == "failed" else "COMPLETE")


def tried(config: Config, parameters: Parameters) -> Config:
    """The config with the settings of a trial, without a search space.

    With another agent, `policy.exploration` is the default of that agent, unless the trial sets it, or the config sets
    another value than the default of its own agent.
    """
    values = with_parameters(config.to_dict(), parameters)
    values["tuning"] = config.tuning.model_dump(mode="json", exclude={"search_space"})
    is_another = values["agent"]["name"] != config.agent.name
    if is_another and EXPLORATION not in parameters and config.policy.exploration == config.agent.EXPLORATION:
        values["policy"] = {key: value for key, value in values["policy"].items() if key != "exploration"}
    return Config.parse(values)


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials by value, the highest first, then the pruned and the failed ones."""
    order = {"complete": 0, "pruned": 1, "failed": 2}
    return sorted(trials, key=lambda trial: (order[trial.state], -(trial.value or 0.0), trial.number))
