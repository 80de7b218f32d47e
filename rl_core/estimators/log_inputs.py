"""A table of logged decisions as estimators take it: checked, with rewards scaled to [0, 1], and a reward model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from banditloop.rl_core import estimators
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import frames
from banditloop.rl_core.estimators.estimator import Estimator, Logged
from banditloop.rl_core.estimators.reward_model import RewardModel
from banditloop.rl_core.features.encoder import Encoder
from banditloop.rl_core.settings.feature_kinds import Kind
from banditloop.rl_core.settings.reward_range import RewardRange


@dataclass(frozen=True)
class Side:
    """The logged decisions with the probabilities of one policy."""

    logged: Logged

    @property
    def primary(self) -> str:
        """The estimator to look at first."""
        return "dr" if self.logged.predicted_reward is not None else "snips"

    def estimators(self) -> dict[str, Estimator]:
        """Empty estimators by name: those that apply to these decisions."""
        has_model, propensity = self.logged.predicted_reward is not None, self.logged.propensity
        uniform = bool(np.allclose(propensity, propensity[:1]))
        return {
            name: kind()
            for name, kind in estimators.ESTIMATORS.items()
            if (has_model or not kind.uses_model) and (uniform or name != "replay")
        }

    def with_model(self) -> Logged:
        """The decisions with a reward model, one that always predicts 0 if there is none."""
        if self.logged.predicted_reward is not None:
            return self.logged
        zeros = np.zeros(len(self.logged.reward))
        return replace(self.logged, predicted_reward=zeros, expected_reward=zeros)

    def take(self, rows: np.ndarray) -> Self:
        """The decisions of some rows, bool [B]."""
        columns = ("reward", "propensity", "target", "predicted_reward", "expected_reward", "sample_weight")
        selected: dict[str, Any] = {}
        for name in columns:
            values = getattr(self.logged, name)
            selected[name] = None if values is None else values[rows]
        if selected["sample_weight"] is not None:
            selected["sample_weight"] = selected["sample_weight"] / selected["sample_weight"].mean()
        return type(self)(replace(self.logged, **selected))


@dataclass(frozen=True)
class LogInputs:
    """A log with two policies, rewards scaled to [0, 1]."""

    target: Side
    baseline: Side
    rewards: RewardRange
    weights: np.ndarray  # of the sample [B], with a mean of 1
    actions: np.ndarray | None  # positions [B]
    probabilities: np.ndarray | None  # of all actions under the logging policy [B, K]


def read_inputs(log: Any, rewards: RewardRange, max_weight: float, **given: Any) -> LogInputs:
    """The inputs of `evaluate`, which describes the columns that are given.

    Raises:
        InvalidInput: as `evaluate`.
    """
    values, propensity = frames.numbers(log, given["reward"], "reward"), frames.propensities(log, given["propensity"])
    if not len(values):
        raise InvalidInput("log: has no rows")
    hint = f"is outside the range {rewards.low:g} to {rewards.high:g}; give the range that rewards can have"
    frames.check_range("reward", values, rewards.contains(values), hint)
    ids, names = frames.action_ids(given["target"]), ("target", "baseline", "probabilities")
    policies = {name: frames.probabilities(log, given[name], name, ids) for name in names if given[name] is not None}
    frames.check_rows(len(values), {"propensity": propensity} | policies)
    actions = logged_actions(log, given, policies, ids)
    scaled, weights = rewards.scale(values).clip(0, 1), _sample_weights(log, given["sample_weight"], len(values))
    predictions = None if actions is None else _predictions(log, given["features"], actions, scaled, policies["target"])

    def side(probabilities: np.ndarray, bound: float) -> Side:
        # Weights are of probabilities as given: a propensity that is rounded as they are has a weight of 1.
        model, chosen = _model(frames.normalised(probabilities), predictions, actions), _chosen(probabilities, actions)
        return Side(Logged(scaled, propensity, chosen, *model, max_weight=bound, sample_weight=weights))

    baseline = side(policies["baseline"], max_weight) if "baseline" in policies else side(propensity, 1.0)
    all_weights = np.ones(len(scaled)) if weights is None else weights
    target = side(policies["target"], max_weight)
    return LogInputs(target, baseline, rewards, all_weights, actions, policies.get("probabilities"))


def logged_actions(
    log: Any, given: dict[str, Any], every: dict[str, np.ndarray], ids: list[str] | None
) -> np.ndarray | None:
    """The positions of the logged actions [B]; None if all probabilities are those of the logged actions alone.

    Raises:
        InvalidInput: they are missing, or the probabilities that are given do not fit together.
    """
    counts = {array.shape[1] for array in every.values() if array.ndim == 2}
    if len(counts) > 1:
        raise InvalidInput(
            f"probabilities: {' and '.join(map(str, sorted(counts)))} actions; give those of the same ones"
        )
    if counts and given["action"] is None:
        raise InvalidInput("action: give the column of the logged action with the probabilities of all actions")
    policies = [every[name] for name in ("target", "baseline") if name in every]
    if len(given["features"]) and any(array.ndim == 1 for array in policies):
        raise InvalidInput("features: a reward model needs the probabilities of all actions, of target and baseline")
    if not counts:
        return None
    actions = frames.positions(log, given["action"], ids, counts.pop())
    frames.check_rows(len(every["target"]), {"action": actions})
    return actions


def _model(
    probabilities: np.ndarray, predictions: np.ndarray | None, actions: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The predicted rewards of the logged actions [B], and the expected rewards of a policy [B].

    Probabilities [B] are those of the logging policy: its expected rewards are the predicted ones, so that its doubly
    robust estimate is the mean reward of the log.
    """
    if predictions is None:
        return None, None
    predicted = predictions[np.arange(len(predictions)), actions]
    if probabilities.ndim == 1:
        return predicted, predicted
    return predicted, (predictions * probabilities).sum(axis=1)


def _chosen(probabilities: np.ndarray, actions: np.ndarray | None) -> np.ndarray:
    """The probabilities of the logged actions [B]."""
    return (
        probabilities if actions is None or probabilities.ndim == 1 else probabilities[np.arange(len(actions)), actions]
    )


def _predictions(
    log: Any, features: Any, actions: np.ndarray, rewards: np.ndarray, target: np.ndarray
) -> np.ndarray | None:
    """The cross-fitted reward model's predictions [B, K]; None without features."""
    if not len(features):
        return None
    observations = observed(log, features, len(rewards))
    model = RewardModel(observations.shape[1], target.shape[1])
    folds = model.fold([str(row) for row in range(len(rewards))])
    model.add(observations, actions, rewards, folds)
    return model.predict(observations, folds)


def observed(log: Any, features: Sequence[str] | np.ndarray, rows: int) -> np.ndarray:
    """Observations [rows, dim]: those that are given, or columns of the log, encoded as policies encode them.

    Raises:
        InvalidInput: as `frames.column`, or they are of another number of rows.
    """
    if isinstance(features, np.ndarray):
        frames.check_rows(rows, {"features": features})
        return features.reshape(rows, -1)
    columns = {name: frames.column(log, name, "features") for name in frames.columns(features)}
    frames.check_rows(rows, columns)
    kinds = {name: _kind(values) for name, values in columns.items()}
    arrays = [_array(values, kinds[name]) for name, values in columns.items()]
    struct = pa.StructArray.from_arrays(arrays, names=list(columns))
    return Encoder.unfitted(kinds, constant=False).fit(struct).encode(struct)


def _kind(values: np.ndarray) -> Kind:
    if values.dtype.kind in "iuf":
        return "number"
    return "boolean" if values.dtype.kind == "b" else "category"


def _array(values: np.ndarray, kind: Kind) -> pa.Array:
    """The values of a feature, of which None and NaN are missing."""
    if kind == "category":
        return pa.array([None if frames.is_missing(value) else str(value) for value in values.tolist()], pa.string())
    return pa.array(values, pa.float64() if kind == "number" else pa.bool_(), from_pandas=True)


def _sample_weights(log: Any, given: Any, rows: int) -> np.ndarray | None:
    if given is None:
        return None
    weights = frames.sample_weights(log, given)
    frames.check_rows(rows, {"sample_weight": weights})
    return weights / weights.mean()
