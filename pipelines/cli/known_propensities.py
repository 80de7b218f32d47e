"""Rows of a log without a propensity, which say nothing about another policy."""

from typing import Any

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.logs.choices import LoggingPolicy


def rows_with_propensity(inputs: dict[str, Any], logging_policy: LoggingPolicy | None) -> tuple[dict[str, Any], int]:
    """The inputs of an evaluation without the rows whose logging policy is unknown, and the number of these.

    inputs: arrays with a value per row, by name, also in dictionaries. Episodes are left out whole, since an episode's
    weight is the product over all of its steps. If the logging policy is not "unknown", all rows stay.

    Raises:
        InvalidInput: no row is left.
    """
    if logging_policy != "unknown":
        return inputs, 0
    missing = np.isnan(inputs["propensity"]).reshape(len(inputs["propensity"]), -1).any(axis=1)
    if "episode_id" in inputs:
        ids = inputs["episode_id"]
        incomplete = set(ids[missing].tolist())
        missing = np.fromiter((id_ in incomplete for id_ in ids.tolist()), bool, len(ids))
    if len(missing) and missing.all():
        raise InvalidInput(
            "propensity: no row has one (with episodes: no episode has one in every step); name its column by "
            "--map propensity=COLUMN"
        )
    return (_where(inputs, ~missing) if missing.any() else inputs), int(missing.sum())


def _where(inputs: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """The inputs with some of the rows, by a mask [B]."""
    chosen = {name: value[rows] for name, value in inputs.items() if isinstance(value, np.ndarray)}
    nested = {name: _where(value, rows) for name, value in inputs.items() if isinstance(value, dict)}
    return inputs | chosen | nested
