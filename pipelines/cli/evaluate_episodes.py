"""A log of episodes and the policies to evaluate on it, as the estimators take them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from banditloop.pipelines.cli.evaluate_log import LogToEvaluate
from banditloop.pipelines.cli.evaluated_policies import Policy
from banditloop.pipelines.cli.known_propensities import rows_with_propensity
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import EpisodeEvaluation, evaluate_episodes
from banditloop.rl_core.logs.episodes import Steps, sorted_steps
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.training.train import contexts

DISCOUNT = 0.99


def check_options(log: LogToEvaluate, of_decisions: dict[str, bool], of_episodes: dict[str, bool]) -> None:
    """Check that the given options are for this kind of log; of_decisions, of_episodes: whether each is given, by name.

    Raises:
        InvalidInput: one is for the other kind.
    """
    hint = "is for logs of episodes, and this one has no column episode_id: --map it, or omit the option"
    if log.has_episodes:
        hint = "is for logs of single decisions, and this one has episodes; omit it"
    for option, is_given in (of_decisions if log.has_episodes else of_episodes).items():
        if is_given:
            raise InvalidInput(f"{option}: {hint}")


def evaluate_log_of_episodes(
    log: LogToEvaluate, target: Policy, baseline: Policy | None, metrics: Sequence[str], discount: float
) -> EpisodeEvaluation:
    """The evaluation of a policy on episodes; the arguments are those of the command.

    Raises:
        InvalidInput: the log or the policies do not allow for it; names the row or the column.
    """
    sides = [log.probabilities(policy) for policy in (target, baseline) if policy is not None]
    features: np.ndarray | tuple[()] = ()
    if isinstance(target, SavedPolicy) and all(side.ndim == 2 for side in sides):  # a model can be fitted
        features = target.observations(contexts(log.decisions))
    weights = 1 / log.columns.numbers("logging_probability", 1.0)
    inputs = {
        "episode_id": log.columns.values("episode_id"),
        "step": _steps(log),
        "reward": np.nan_to_num(log.columns.numbers("reward"), nan=log.default_reward or 0.0),
        "propensity": log.propensities(),
        "target": sides[0],
        "baseline": sides[1] if baseline is not None else None,
        "action": log.actions() if log.reads_decisions else None,
        "features": features,
        "metrics": {name: np.nan_to_num(log.columns.numbers(name)) for name in metrics},  # none: nothing was earned
        "terminal": _flags(log, "terminal"),
        "truncated": _flags(log, "truncated"),
        "sample_weight": None if (weights == 1).all() else weights,
    }
    inputs, log.without_propensity = rows_with_propensity(inputs, log.logging_policy)
    log.report("estimating")
    evaluation = evaluate_episodes({}, **inputs, discount=discount)
    return replace(evaluation, summary=log.described(target) | evaluation.summary)


def _steps(log: LogToEvaluate) -> np.ndarray:
    """The steps of the rows in their episodes [B]."""
    if "step" not in log.fields:
        return np.arange(log.columns.rows)  # in the order of the rows
    if not log.files.steps_are_places:
        return log.columns.numbers("step")
    steps = Steps(sorted_steps(log.batches))
    return np.array([step for batch in log.batches for step in steps.read(*batch)[1]], float)


def _flags(log: LogToEvaluate, name: str) -> np.ndarray | None:
    """A column of booleans as numbers [B], where missing ones are 0; None if the log does not have it."""
    return log.columns.numbers(name, 0.0) if name in log.fields else None
