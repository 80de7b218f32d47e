"""The model of LinUCB: scores by upper confidence bounds."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from banditloop.rl_core.agents.agent import Model, best_actions, one_hot
from banditloop.rl_core.agents.arrays import UNREADABLE, WEIGHTS, stored_arrays, write_arrays

CHUNK_NUMBERS = 4_000_000  # 32 MB: more rows are scored in several chunks
MIN_ARMS_RATIO = 4  # copying the weights of the eligible arms pays where they are at most one in four


@dataclass(frozen=True)
class LinUCBModel(Model):
    """theta [actions, dim], and whitening W [dim, actions, dim], where ‖xᵀW‖ is a confidence width at α = 1."""

    theta: np.ndarray
    whitening: np.ndarray
    alpha: float

    @property
    def shape(self) -> tuple[int, int]:
        actions, dim = self.theta.shape
        return dim, actions

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        arms = len(self.theta)
        if eligible is not None:
            columns = np.flatnonzero(eligible.any(axis=0))
            if 0 < MIN_ARMS_RATIO * len(columns) <= arms:
                best = best_actions(self._of(columns)._bounds(observations), eligible[:, columns])
                return one_hot(columns[best], arms)
        return one_hot(best_actions(self._bounds(observations), eligible), arms)

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return observations @ self.theta.T

    def _bounds(self, observations: np.ndarray) -> np.ndarray:
        """Upper confidence bounds [B, actions]."""
        x = observations.astype(np.float64)
        bounds = x @ self.theta.T
        rows = max(1, CHUNK_NUMBERS // self.theta.size)
        for start in range(0, len(x), rows):
            bounds[start : start + rows] += self.alpha * self._widths(x[start : start + rows])
        return bounds

    def _widths(self, x: np.ndarray) -> np.ndarray:
        """Confidence widths [B, actions] at α = 1."""
        arms, dim = self.theta.shape
        whitened = (x @ self.whitening.reshape(dim, arms * dim)).reshape(len(x), arms, dim)
        return np.sqrt(np.vecdot(whitened, whitened))

    def write(self, folder: Path) -> None:
        """Write the arrays of a policy directory."""
        write_arrays(folder / WEIGHTS, {"theta": self.theta, "whitening": self.whitening})

    def read(self, folder: Path, actions: int) -> bool:
        """Read the arrays of a policy directory, of so many actions, into the first rows of these; whether it worked.

        False: they are damaged, or of an older version, which had other arrays.
        """
        arrays = {"theta": self.theta[:actions], "whitening": self.whitening[:, :actions]}
        try:
            for stored in stored_arrays(folder / WEIGHTS):
                array = arrays.pop(stored.name)
                if stored.shape != array.shape:
                    return False
                for rows, block in stored.blocks:
                    array[rows.start : rows.stop] = block
        except (*UNREADABLE, LookupError):
            return False
        return not arrays

    def _of(self, arms: np.ndarray) -> "LinUCBModel":
        """The model of some of the arms."""
        return replace(self, theta=self.theta[arms], whitening=self.whitening.take(arms, axis=1))
