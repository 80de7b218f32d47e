"""Estimates of a candidate and the champion on one window of episodes."""

from typing import Any

import numpy as np
import pyarrow.compute as pc

from banditloop.rl_core.estimators.episodes import EPISODE_ESTIMATORS
from banditloop.rl_core.estimators.episodes.evaluation import Side, evaluation
from banditloop.rl_core.estimators.episodes.step_features import observed_features
from banditloop.rl_core.evaluation.episodes.targets import Targets
from banditloop.rl_core.evaluation.episodes.window import EpisodeWindow
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.training.transitions import transitions

LEVEL = 0.95


def episode_estimates(window: EpisodeWindow, champion: SavedPolicy | None, candidate: SavedPolicy) -> dict[str, Any]:
    """What the episodes say about both policies; see `estimators.episodes.evaluation`.

    champion None: the logging policy. Features are those of the candidate's encoding. Diagnostics are by side.
    """
    if not window.episodes:
        return _without_episodes(window)
    targets = Targets(window)
    encoding = candidate.encoding.model_copy(update={"actions": list(window.ids)})
    steps = transitions(window.table, encoding, window.section.model_copy(update={"multi_step": 1}))
    steps = steps._replace(propensities=targets.propensities)
    features = observed_features(steps, len(window.ids))
    sides = {
        key: Side(steps, targets.probabilities(policy), features)
        for key, policy in (("candidate", candidate), ("champion", champion))
        if policy
    }
    estimates = evaluation(sides["candidate"], sides.get("champion"), metric_rewards(window), LEVEL)
    return estimates | {"diagnostics": {key: side.diagnostics for key, side in sides.items()}}


def metric_rewards(window: EpisodeWindow) -> dict[str, np.ndarray]:
    """The rewards [B] of every metric, 0 where a step has none."""
    names = window.section.metrics
    return {name: pc.struct_field(window.table["metrics"], name).fill_null(0.0).to_numpy() for name in names}


def _without_episodes(window: EpisodeWindow) -> dict[str, Any]:
    unknown = {"value": None, "standard_error": None, "low": None, "high": None}
    no_estimates = {"logged": unknown, "estimates": {}, "baseline_estimates": {}, "difference": unknown}
    return {
        "episodes": 0,
        "interactions": 0,
        "level": LEVEL,
        "primary": next(iter(EPISODE_ESTIMATORS)),
        "returns": dict.fromkeys(["reward", *window.section.metrics], no_estimates),
        "diagnostics": {},
        "warnings": [],
    }
