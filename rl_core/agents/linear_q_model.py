"""Values of actions that are linear in features of the observation, as they are served."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from banditloop.rl_core.agents.agent import Model
from banditloop.rl_core.agents.arrays import Statistics, read_arrays
from banditloop.rl_core.agents.exploration import greedy, softmax
from banditloop.rl_core.agents.q_features import QFeatures
from banditloop.rl_core.agents.row_products import rows_times
from banditloop.rl_core.errors import InvalidInput

VALUES, PREFERENCES = "values", "preferences"  # weights of the features, [features, actions]


@dataclass(frozen=True)
class LinearQModel(Model):
    """Takes the action of the highest value, or draws from the softmax of preferences if its arrays have some."""

    arrays: Statistics

    @classmethod
    def of(cls, statistics: Statistics) -> "LinearQModel":
        """The model of an agent's statistics."""
        return cls({name: array.astype(np.float64) for name, array in served_arrays(statistics).items()})

    @classmethod
    def read(cls, path: Path) -> "LinearQModel":
        """The model of the arrays of a file. InvalidInput: arrays are missing, or differ in shape."""
        try:
            model = cls.of(read_arrays(path))
            model.probabilities(np.zeros((1, model.shape[0])))
        except (KeyError, ValueError, IndexError):
            raise InvalidInput(f"{path}: arrays are missing or differ in shape; not the values of a policy") from None
        return model

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.arrays["means"]), self.arrays[VALUES].shape[1]

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(probabilities_of(self.arrays, observations.astype(np.float64), eligible))

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return np.asarray(values_of(self.arrays, observations.astype(np.float64)))

    def greedy_scores(self, observations: np.ndarray) -> np.ndarray:
        """The preferences if its arrays have some, else the values: the most probable action has the highest."""
        return np.asarray(scores_of(self.arrays, observations.astype(np.float64)))


def served_arrays(statistics: Statistics) -> Statistics:
    """The part of an agent's statistics that its model needs."""
    optional = [PREFERENCES] if PREFERENCES in statistics else []
    return {name: statistics[name] for name in (*QFeatures._fields, VALUES, *optional)}


def values_of(arrays: Mapping[str, Any], observations: Any, xp: Any = np) -> Any:
    """The values [B, actions] of observations [B, dim]; xp: the arrays' namespace, as in `exploration`."""
    return rows_times(_features(arrays, observations, xp), arrays[VALUES], xp)


def probabilities_of(arrays: Mapping[str, Any], observations: Any, eligible: Any = None, xp: Any = np) -> Any:
    """The probabilities [B, actions] of observations [B, dim]."""
    scores = scores_of(arrays, observations, xp)
    return softmax(scores, 1.0, eligible, xp) if PREFERENCES in arrays else greedy(scores, eligible, xp)


def scores_of(arrays: Mapping[str, Any], observations: Any, xp: Any = np) -> Any:
    """The preferences [B, actions] of observations [B, dim], or their values if the arrays have no preferences."""
    weights = arrays[PREFERENCES if PREFERENCES in arrays else VALUES]
    return rows_times(_features(arrays, observations, xp), weights, xp)


def _features(arrays: Mapping[str, Any], observations: Any, xp: Any) -> Any:
    """The features of `QFeatures` [B, features]; a row's do not depend on the other rows."""
    x = (observations - arrays["means"]) / arrays["scales"]
    cosines = np.sqrt(2) * xp.cos(rows_times(x, arrays["frequencies"], xp) + arrays["phases"])
    return xp.concatenate([xp.ones_like(x[:, :1]), x, cosines], axis=1)
