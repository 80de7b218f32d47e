"""The sums of a linear agent by a compiled loop over the interactions, which a training is measured beside."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.ctypeslib import ndpointer

from banditloop.rl_core.agents import Batch, Statistics

SOURCE = """
void add(long rows, long dim, const float *x, const long *actions, const double *rewards, double *a, double *b) {
  for (long row = 0; row < rows; row++) {
    const float *now = x + row * dim;
    double *covariance = a + actions[row] * dim * dim, *vector = b + actions[row] * dim;
    for (long i = 0; i < dim; i++) {
      double one = now[i];
      vector[i] += rewards[row] * one;
      for (long j = 0; j < dim; j++) covariance[i * dim + j] += one * now[j];
    }
  }
}
"""


class CompiledSums:
    """A loop in C that adds interactions to covariances and vectors, compiled for this machine."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder) / "sums.c", Path(folder) / "sums.so"
            source.write_text(SOURCE)
            command = ["cc", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", str(source), "-o", str(library)]
            subprocess.run(command, check=True)
            self._add = ctypes.CDLL(str(library)).add
        pointers = [ndpointer(kind, flags="C") for kind in (np.float32, np.int64, np.float64, np.float64, np.float64)]
        self._add.argtypes, self._add.restype = [ctypes.c_long, ctypes.c_long, *pointers], None

    def add(self, statistics: Statistics, batch: Batch) -> None:
        """Add interactions to the statistics."""
        sums = statistics["covariances"], statistics["vectors"]
        self._add(*batch.observations.shape, batch.observations, batch.actions, batch.rewards, *sums)
