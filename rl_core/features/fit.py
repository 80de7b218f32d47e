"""Fitting of feature encodings to values of the log.

Thresholds are on effect sizes, such as a skewness or a share of the rows, and not on p-values: these become small for
any difference if the log is long enough. (ReAgent chooses by the statistic of a test of normality, which grows with the
rows.) Few episodes are still few, however many rows they have: CartPole's position has a skewness of -3 in 45 random
episodes, and of -1.9 in 1,300.

A number is divided by its standard deviation, however small (ReAgent's by at least 1), and stays a number even where it
has few values or all are in [0, 1] (ReAgent's becomes an enumeration, or a logit). Box-Cox transformations are not
fitted: quantiles serve skewed numbers, too, and bound outliers.
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.features.categories import CategoriesEncoding, CategoryEncoding
from banditloop.rl_core.features.columns import (
    BooleanEncoding,
    FeatureEncoding,
    NumberEncoding,
    VectorEncoding,
)
from banditloop.rl_core.settings.feature_kinds import Kind, Vector

SKEWED = 2.0  # a number of larger absolute skewness is encoded by its quantiles
HEAVY_TAILED = 20.0  # and so is one whose middle 99 % are wider than its middle half by this factor; 3.8 if normal
MAX_KNOTS = 21
MAX_CATEGORIES = 50  # with a column of their own
MIN_SHARE, MIN_COUNT = 0.002, 2  # of the rows, for a column of its own
HASHED_COLUMNS = 4


def unfitted(name: str, kind: Kind, plain: bool = False) -> FeatureEncoding:
    """The encoding of a feature before any values were seen."""
    if isinstance(kind, Vector):
        return VectorEncoding(name=name, length=kind.vector, plain=plain)
    if isinstance(kind, list):
        return CategoryEncoding(name=name, categories=kind)
    if kind == "number":
        return NumberEncoding(name=name)
    if kind == "boolean":
        return BooleanEncoding(name=name)
    return (CategoryEncoding if kind == "category" else CategoriesEncoding)(name=name, hashed=HASHED_COLUMNS)


def fitted(encoding: FeatureEncoding, values: pa.Array) -> FeatureEncoding:
    """The unfitted encoding, fitted to the values of the log; closed lists and booleans stay as they are."""
    if isinstance(encoding, NumberEncoding):
        return encoding.model_copy(update=_fit_number(values.drop_null().to_numpy(zero_copy_only=False)))
    if isinstance(encoding, CategoryEncoding) and encoding.hashed:
        flat = pc.list_flatten(values) if isinstance(encoding, CategoriesEncoding) else values
        return encoding.model_copy(update={"categories": _frequent(flat.drop_null(), len(values))})
    if isinstance(encoding, VectorEncoding) and not encoding.plain:
        flat = pc.list_flatten(values).to_numpy(zero_copy_only=False)
        return encoding.model_copy(update=_fit_vectors(flat.reshape(-1, encoding.length).astype(np.float64)))
    return encoding


def widened(encoding: FeatureEncoding, values: pa.Array) -> FeatureEncoding:
    """The fitted encoding for values beyond its own: linear, up to ten times as far from the mean."""
    if isinstance(encoding, NumberEncoding):
        numbers = values.drop_null().to_numpy(zero_copy_only=False)
        farthest = np.abs(numbers - encoding.mean).max(initial=0.0)
        return encoding.model_copy(update={"deviation": float(farthest) or 1.0, "knots": []})
    if isinstance(encoding, VectorEncoding) and encoding.means:
        vectors = pc.list_flatten(values).to_numpy(zero_copy_only=False).reshape(-1, encoding.length)
        farthest = np.abs(vectors - encoding.means).max(axis=0)
        return encoding.model_copy(update={"deviations": np.where(farthest > 0, farthest, 1.0).tolist()})
    return encoding


def is_fitted(encoding: FeatureEncoding) -> bool:
    """Whether the encoding depends on the log it was fitted to, so that more of the log would give another."""
    if isinstance(encoding, CategoryEncoding):
        return encoding.hashed > 0
    return isinstance(encoding, NumberEncoding) or (isinstance(encoding, VectorEncoding) and not encoding.plain)


def _fit_number(numbers: np.ndarray) -> dict[str, object]:
    if not len(numbers):
        return {}
    numbers = numbers.astype(np.float32).astype(np.float64)  # the precision of examples
    mean, deviation = float(numbers.mean()), float(numbers.std())
    if deviation <= 1e-9 * max(1.0, abs(mean)):
        return {"mean": mean, "deviation": 1.0}
    skewness = float((((numbers - mean) / deviation) ** 3).mean())
    knots = np.unique(np.quantile(numbers, np.linspace(0, 1, MAX_KNOTS)))
    if (abs(skewness) > SKEWED or _is_heavy_tailed(numbers)) and len(knots) > 2:
        return {"mean": mean, "deviation": deviation, "knots": knots.tolist()}
    return {"mean": mean, "deviation": deviation}


def _is_heavy_tailed(numbers: np.ndarray) -> bool:
    """By quantiles, for moments of such numbers are accidents of the sample."""
    low, lower, upper, high = np.quantile(numbers, [0.005, 0.25, 0.75, 0.995])
    return bool(high - low > HEAVY_TAILED * (upper - lower) > 0)


def _fit_vectors(vectors: np.ndarray) -> dict[str, object]:
    if not len(vectors):
        return {}
    deviations = vectors.std(axis=0)
    return {
        "means": vectors.mean(axis=0).tolist(),
        "deviations": np.where(deviations > 1e-9, deviations, 1.0).tolist(),
    }


def _frequent(values: pa.Array, rows: int) -> list[str]:
    """The categories with columns of their own, the most frequent first; equally frequent ones sorted."""
    counts = Counter({item["values"]: item["counts"] for item in values.value_counts().to_pylist()})
    enough = max(MIN_COUNT, MIN_SHARE * rows)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [category for category, count in ranked[:MAX_CATEGORIES] if count >= enough]
