"""Logged decisions as estimators take them: checked columns of numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from banditloop.rl_core.errors import InvalidInput

ROUNDING = 1e-6  # of probabilities and predictions, which may be computed in single precision
COLUMNS = "reward", "propensity", "target"
MODEL_COLUMNS = "predicted_reward", "expected_reward"


@dataclass(frozen=True)
class Logged:
    """Logged decisions with the probabilities of a target policy; all columns have shape [B].

    A column may be anything that NumPy reads as numbers, such as a list or a pandas Series. It is taken by position: an
    index is ignored.

    reward: in [0, 1].
    propensity: in (0, 1], the logging policy's probability of the logged action.
    target: in [0, 1], the target policy's probability of the logged action.
    predicted_reward: a reward model's prediction for the logged action, in [0, 1].
    expected_reward: the mean of the model's predictions over the target policy's actions, in [0, 1].
    max_weight: upper bound of the importance weight, above 0; infinite if it is unknown. It may differ between parts of
        the log, but not between users. Anytime-valid evidence needs it; intervals of estimates are tighter with it, and
        do without if a weight exceeds it.
    sample_weight: inverse logging probability, above 0 and scaled to a mean of 1; None if everything was logged.
        Estimates use it to describe all traffic; anytime-valid evidence describes the logged decisions, which are a
        random sample.

    Raises:
        InvalidInput: the columns differ in length, or a number is outside its range.
    """

    reward: np.ndarray
    propensity: np.ndarray
    target: np.ndarray
    predicted_reward: np.ndarray | None = None
    expected_reward: np.ndarray | None = None
    max_weight: float | np.ndarray = 1.0
    sample_weight: np.ndarray | None = None

    def __post_init__(self) -> None:
        given = [name for name in (*COLUMNS, *MODEL_COLUMNS, "sample_weight") if getattr(self, name) is not None]
        for name in given:
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if len({getattr(self, name).shape for name in given}) != 1 or self.reward.ndim != 1:
            raise InvalidInput("logged decisions: all columns must be of one length")
        if len(set(MODEL_COLUMNS) & set(given)) == 1:
            raise InvalidInput("predicted_reward and expected_reward: give both of a reward model, or neither")
        self._check_ranges(given)
        self._check_max_weight()

    def _check_ranges(self, given: list[str]) -> None:
        if not ((self.reward >= 0) & (self.reward <= 1)).all():
            raise InvalidInput("reward: estimators take rewards in [0, 1]; scale them by known bounds first")
        if not ((self.propensity > 0) & (self.propensity <= 1 + ROUNDING)).all():
            raise InvalidInput("propensity: must be above 0 and at most 1")
        if not ((self.target >= 0) & (self.target <= 1 + ROUNDING)).all():
            raise InvalidInput("target: a probability must be from 0 to 1")
        for name in set(MODEL_COLUMNS) & set(given):
            if (np.abs(getattr(self, name) - 0.5) > 0.5 + ROUNDING).any():
                raise InvalidInput(f"{name}: predictions must be from 0 to 1, as the rewards are; clip them first")
        if self.sample_weight is not None and not (self.sample_weight > 0).all():
            raise InvalidInput("sample_weight: an inverse logging probability must be above 0")

    def _check_max_weight(self) -> None:
        limit = _numbers("max_weight", self.max_weight, finite=False)
        if limit.ndim:
            object.__setattr__(self, "max_weight", limit)
        if limit.shape not in ((), self.reward.shape) or not (limit > 0).all():
            raise InvalidInput("max_weight: must be one number above 0, or one for each decision")

    @property
    def weight(self) -> np.ndarray:
        """The importance weights π / p [B]."""
        return self.target / self.propensity

    def weighted(self, terms: np.ndarray) -> np.ndarray:
        """Terms [B, terms] of these decisions, multiplied by the sample weights."""
        return terms if self.sample_weight is None else terms * self.sample_weight[:, None]

    def sample_weights(self) -> np.ndarray:
        """The sample weights [B], 1 if everything was logged."""
        return np.ones(len(self.reward)) if self.sample_weight is None else self.sample_weight

    def model(self) -> tuple[np.ndarray, np.ndarray]:
        """predicted_reward [B] and expected_reward [B].

        Raises:
            InvalidInput: the decisions have no reward model's predictions.
        """
        if self.predicted_reward is None or self.expected_reward is None:
            raise InvalidInput("this estimator needs a reward model's predictions")
        return self.predicted_reward, self.expected_reward


def _numbers(name: str, column: Any, finite: bool = True) -> np.ndarray:
    """A column as numbers, in the precision it has.

    Raises:
        InvalidInput: it is not of numbers, or one is not finite although all must be.
    """
    try:
        array = np.asarray(column)
        numbers = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name}: must be numbers: {error}") from error
    if finite and not np.isfinite(numbers).all():
        raise InvalidInput(f"{name}: every number must be finite")
    return numbers
