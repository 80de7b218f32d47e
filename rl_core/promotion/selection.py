"""The best of several policies, by what they earn in the config's environment."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import EpisodicEnvironment, configured
from banditloop.rl_core.environments.environment import known_rewards
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import ExperimentRun
from banditloop.rl_core.rollouts import Engine, chooses, engine, returns, standard_error

SEED = (1 << 40) + 22  # of the episodes that all policies play


def select_policy(
    config: Config, policies: Sequence[Path], trials: Sequence[Mapping[str, Any]], episodes: int, scratch: Path | None
) -> tuple[Path, dict[str, Any]]:
    """The folder of the best policy, and the comparison: its metric, and a row for each policy, the best first.

    trials: what each policy was trained with, its `seed` and `hyperparameters`. Settings are compared by the mean of
    their seeds, so that no lucky seed decides; of the best settings, the best policy is taken. In an environment of
    episodes, `episodes` is their number, the same ones for all policies; otherwise policies decide in all contexts of
    the environment's population. In a row, `difference` is that from the best policy. scratch: folder for temporary
    files of a Ray cluster.

    Raises:
        InvalidInput: there are not as many trials as policies, or the environment does not tell what they earn.
    """
    if len(policies) != len(trials):
        raise InvalidInput(f"trials: are {len(trials)}, of {len(policies)} policies; give each policy's")
    with engine(config.rollouts, scratch) as workers:
        earned = [_earned(config, SavedPolicy.load(folder), episodes, workers) for folder in policies]
    rows = [_row(folder, trial, values) for folder, trial, values in zip(policies, trials, earned, strict=True)]
    setting_values = _means_of_settings(rows)
    for row in rows:
        row["setting_value"] = setting_values[_setting(row)]
    order = sorted(range(len(rows)), key=lambda number: (-rows[number]["setting_value"], -rows[number]["value"]))
    best = earned[order[0]]
    for row, values in zip(rows, earned, strict=True):
        row["difference"], row["difference_error"] = float((values - best).mean()), standard_error(values - best)
    metric, unit = ("mean reward of an episode", "episodes") if config.episodes else ("mean reward", "contexts")
    compared = {"metric": metric, "samples": len(best), "unit": unit, "policies": [rows[number] for number in order]}
    return policies[order[0]], compared


def runs_of(comparison: Mapping[str, Any]) -> list[ExperimentRun]:
    """The policies of a comparison as runs of an experiment, by their versions."""
    return [
        ExperimentRun(
            row["version"],
            row["hyperparameters"] | ({} if row["seed"] is None else {"seed": row["seed"]}),
            {name: row[name] for name in ("value", "standard_error", "setting_value") if row[name] is not None},
        )
        for row in comparison["policies"]
    ]


def _earned(config: Config, policy: SavedPolicy, episodes: int, workers: Engine) -> np.ndarray:
    """What a policy earns as served: in each episode, or on average in each context of the population."""
    environment = config.environment
    if isinstance(environment, EpisodicEnvironment):
        choose, limit = chooses(policy, environment.task), config.max_steps
        return returns(choose, environment, SEED, episodes, max_steps=limit, engine=workers).undiscounted
    bandit = configured(environment, "the comparison of policies")
    observations = policy.observations(context_array(bandit.task, bandit.population() or {}))
    return (policy.probabilities(observations) * known_rewards(bandit)).sum(axis=1)


def _row(folder: Path, trial: Mapping[str, Any], values: np.ndarray) -> dict[str, Any]:
    version = SavedPolicy.load(folder).manifest.version
    settings = {"hyperparameters": dict(trial.get("hyperparameters", {})), "seed": trial.get("seed")}
    return settings | {"version": version, "value": float(values.mean()), "standard_error": standard_error(values)}


def _setting(row: Mapping[str, Any]) -> str:
    return json.dumps(row["hyperparameters"], sort_keys=True)


def _means_of_settings(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean value of each setting's policies."""
    groups = itertools.groupby(sorted(rows, key=_setting), _setting)
    return {setting: float(np.mean([row["value"] for row in group])) for setting, group in groups}
