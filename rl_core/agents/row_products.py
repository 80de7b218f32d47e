"""Products of rows and a matrix that do not depend on the other rows."""

from typing import Any

import numpy as np


def rows_times(x: Any, matrix: Any, xp: Any = np) -> Any:
    """x [..., n] times a matrix [n, m], one row after the other; xp: the arrays' namespace, as in `exploration`.

    In a product of whole matrices the rounding of a row depends on the number of rows; a logged probability must not.
    """
    return xp.matmul(x[..., None, :], matrix)[..., 0, :]
