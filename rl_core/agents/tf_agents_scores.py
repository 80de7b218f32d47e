"""What networks and ridge regressions predict, from arrays, in NumPy or TensorFlow; xp: as in `exploration`."""

from typing import Any

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.row_products import rows_times


def shares_of_best(draws: Any, eligible: Any = None, xp: Any = np) -> Any:
    """The share of draws [B, draws, actions] in which each action has the highest number [B, actions]."""
    masked = draws if eligible is None else xp.where(eligible[:, None], draws, -np.inf)
    best = xp.argmax(masked, axis=2)[:, :, None] == xp.arange(draws.shape[2])
    return xp.mean(xp.where(best, 1.0, 0.0), axis=1)


def through(arrays: Statistics, x: Any, xp: Any, dropout: bool = False) -> Any:
    """The outputs [B, n] of a network of ReLU layers; with dropout, those under every mask [B, masks, n]."""
    last = sum(name.startswith("kernel_") for name in arrays) - 1
    if dropout:
        x = x[:, None]
    for i in range(last):
        x = xp.maximum(rows_times(x, arrays[f"kernel_{i}"], xp) + arrays[f"bias_{i}"], 0.0)
        if dropout and f"mask_{i}" in arrays:
            x = x * arrays[f"mask_{i}"]
    return rows_times(x, arrays[f"kernel_{last}"], xp) + arrays[f"bias_{last}"]


def widths(x: Any, arrays: Statistics, xp: Any) -> Any:
    """√(xᵀ (A + λI)⁻¹ x) [B, actions], by whitening [dim, actions · dim]."""
    actions, dim = arrays["theta"].shape
    whitened = xp.reshape(rows_times(x, arrays["whitening"], xp), (-1, actions, dim))
    return xp.sqrt(xp.sum(whitened * whitened, axis=2))


def with_bias(x: Any, algorithm: Any, xp: Any) -> Any:
    """The observations, with a constant 1 last if the algorithm adds one."""
    return xp.concatenate([x, xp.ones_like(x[:, :1])], axis=1) if algorithm.add_bias else x
