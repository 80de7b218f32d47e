"""A table of logged decisions as estimators take it: checked, with rewards scaled to [0, 1], and a reward model."""

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
        """Some of the decisions, bool [B]."""
        columns = ("reward", "propensity", "target", "predicted_reward", "expected_reward", "sample_weight")
        taken: dict[str, Any] = {}
        for name in columns:
            values = getattr(self.logged, name)
            taken[name] = None if values is None else values[rows]
        if taken["sample_weight"] is not None:
            taken["sample_weight"] = taken["sample_weight"] / taken["sample_weight"].mean()
        return type(self)(replace(self.logged, **taken))


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
    values = frames.numbers(log, given["reward"], "reward")
    if not len(values):
        raise InvalidInput("log: has no rows")
    _check_range(values, rewards)
    propensity = frames.numbers(log, given["propensity"], "propensity")
    _check_probabilities("propensity", propensity, above=0.0)
    weights = _sample_weights(log, given["sample_weight"])
    target, ids = frames.probabilities(log, given["target"], "target")
    every = {"target": target}
    for name in ("baseline", "probabilities"):
        if given[name] is not None:
            every[name] = frames.probabilities(log, given[name], name)[0]
    for name, array in every.items():
        _check_probabilities(name, array)
    count = max((array.shape[1] for array in every.values() if array.ndim == 2), default=0)
    actions = None
    if given["action"] is not None and count:
        actions = frames.positions(log, given["action"], ids, count)
    if count and actions is None:
        raise InvalidInput("action: give the column of the logged action with the probabilities of all actions")
    if len(given["features"]) and min(every["target"].ndim, every.get("baseline", every["target"]).ndim) == 1:
        raise InvalidInput("features: a reward model needs the probabilities of all actions, of target and baseline")
    scaled = rewards.scale(values).clip(0, 1)
    predictions = _predictions(log, given["features"], actions, scaled, count)

    def side(probabilities: np.ndarray, bound: float) -> Side:
        model = _model(probabilities, predictions, actions)
        chosen = _chosen(probabilities, actions)
        return Side(Logged(scaled, propensity, chosen, *model, max_weight=bound, sample_weight=weights))

    baseline = side(every["baseline"], max_weight) if "baseline" in every else side(propensity, 1.0)
    everything = np.ones(len(scaled)) if weights is None else weights
    return LogInputs(side(target, max_weight), baseline, rewards, everything, actions, every.get("probabilities"))


def _model(
    probabilities: np.ndarray, predictions: np.ndarray | None, actions: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The predicted rewards of the logged actions [B], and the expected ones of a policy.

    Of the log, whose other probabilities are not needed, the latter are the former: its doubly robust estimate is then
    its mean reward.
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
    log: Any, features: Any, actions: np.ndarray | None, rewards: np.ndarray, count: int
) -> np.ndarray | None:
    """The cross-fitted reward model's predictions [B, K]; None without features."""
    if not len(features) or actions is None:
        return None
    observations = features if isinstance(features, np.ndarray) else _encode(log, features)
    model = RewardModel(observations.shape[1], count)
    folds = model.fold([str(row) for row in range(len(rewards))])
    model.add(observations, actions, rewards, folds)
    return model.predict(observations, folds)


def _encode(log: Any, features: Any) -> np.ndarray:
    """Observations [B, dim] of columns, encoded as policies encode them."""
    columns = {name: frames.column(log, name, "features") for name in features}
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
        return pa.array(
            [None if value is None or value != value else str(value) for value in values.tolist()], pa.string()
        )
    return pa.array(values, pa.float64() if kind == "number" else pa.bool_(), from_pandas=True)


def _sample_weights(log: Any, given: Any) -> np.ndarray | None:
    if given is None:
        return None
    weights = frames.numbers(log, given, "sample_weight")
    return weights / weights.mean()


def _check_range(values: np.ndarray, rewards: RewardRange) -> None:
    inside = rewards.contains(values)
    if not inside.all():
        row = int(np.argmin(inside))
        where = f"is outside the range {rewards.low:g} to {rewards.high:g}"
        raise InvalidInput(f"reward, row {row}: {values[row]:g} {where}; give the range that rewards can have")


def _check_probabilities(name: str, values: np.ndarray, above: float = -1.0) -> None:
    wrong = ~((values > above) & (values >= 0) & (values <= 1 + 1e-6))
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        bounds = "above 0 and at most 1" if above == 0 else "from 0 to 1"
        raise InvalidInput(
            f"{name}, row {row}: {values[row].max() if values.ndim > 1 else values[row]:g} must be {bounds}"
        )
