"""The encoder: named features to an observation, fitted to the log, deterministic, the same in training and serving."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from banditloop.rl_core.features.categories import CategoriesEncoding, CategoryEncoding
from banditloop.rl_core.features.columns import (
    BooleanEncoding,
    NumberEncoding,
    VectorEncoding,
)
from banditloop.rl_core.features.fit import fitted, is_fitted, unfitted, widened
from banditloop.rl_core.settings.feature_kinds import Kind
from banditloop.rl_core.settings.section import Section

AnyEncoding = Annotated[
    NumberEncoding | BooleanEncoding | CategoryEncoding | CategoriesEncoding | VectorEncoding,
    Field(discriminator="kind"),
]
CONSTANT = "constant"


class Encoder(Section):
    """Encodings of features, in order. Observations start with a constant 1, except those of a plain vector."""

    features: list[AnyEncoding]
    constant: bool = True
    fitted_rows: int = Field(0, ge=0, description="rows of the log that it was fitted to; 0: not fitted")

    @classmethod
    def unfitted(cls, kinds: Mapping[str, Kind], plain: bool = False, constant: bool = True) -> Self:
        """The encoder before any values were seen. plain: the only feature is a vector, used as it is."""
        features: list[Any] = [unfitted(name, kind, plain) for name, kind in kinds.items()]
        return cls(features=features, constant=constant and not plain)

    def fit(self, values: pa.StructArray) -> Self:
        """This encoder fitted to features of the log [B]."""
        features = [fitted(feature, values.field(feature.name)) for feature in self.features]
        return self.model_copy(update={"features": features, "fitted_rows": len(values)})

    def widened(self, values: pa.StructArray) -> Self:
        """This encoder, fitted to these features [B], for values beyond theirs, which other policies may reach.

        Numbers are not mapped by their quantiles, beyond which all would be alike. They are in units of the largest
        distance from their mean: agents that learn in a simulation standardise observations themselves.
        """
        features = [widened(feature, values.field(feature.name)) for feature in self.features]
        return self.model_copy(update={"features": features})

    @property
    def is_fitted(self) -> bool:
        """Whether it depends on the log, so that a longer log would give another encoder."""
        return any(map(is_fitted, self.features))

    @cached_property
    def names(self) -> list[str]:
        """The names of an observation's numbers, as `age` and `country=DE`."""
        return [*([CONSTANT] * self.constant), *(name for feature in self.features for name in feature.names)]

    @cached_property
    def dim(self) -> int:
        """The length of an observation."""
        return len(self.names)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each feature, by name."""
        return {feature.name: feature.feature_kind for feature in self.features}

    @property
    def vectors(self) -> list[VectorEncoding]:
        """The encodings of vectors, whose lengths a log does not guarantee."""
        return [feature for feature in self.features if isinstance(feature, VectorEncoding)]

    def encode(self, values: pa.StructArray) -> np.ndarray:
        """Observations float32 [B, dim] of features of the log [B]."""
        columns = [feature.columns(values.field(feature.name)) for feature in self.features]
        constant = [np.ones((len(values), 1))] * self.constant
        parts = [*constant, *columns] or [np.zeros((len(values), 0))]
        return (parts[0] if len(parts) == 1 else np.hstack(parts)).astype(np.float32, copy=False)

    def encode_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Observations float32 [B, dim] of validated features of requests; features that a row lacks are missing."""
        return np.array([self._row(row) for row in rows], np.float32).reshape(len(rows), self.dim)

    def encode_vectors(self, vectors: np.ndarray, name: str) -> np.ndarray:
        """Observations [B, dim] of the plain vectors [B, length] of the feature `name`: these themselves, if plain."""
        if [feature.name for feature in self.vectors if feature.plain] == [name]:
            return vectors
        return self.encode_rows([{name: vector.tolist()} for vector in vectors])

    def _row(self, features: Mapping[str, Any]) -> list[float]:
        row = [1.0] if self.constant else []
        for name, append in self._appenders:
            append(features.get(name), row)
        return row

    @cached_property
    def _appenders(self) -> Sequence[tuple[str, Any]]:
        return [(feature.name, feature.append) for feature in self.features]
