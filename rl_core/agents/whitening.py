"""Square roots of the inverse covariances of ridge regressions, robust to the units of features."""

import numpy as np

from banditloop.rl_core.agents.arrays import blocks

MAX_INVERSE_TRACE = 1e6  # up to which Cholesky factors have at least eight exact digits, in a quarter of the time
EIGENVALUE_WORK = 10**8  # number of matrices × dim³ whose eigenvalues take some .2 s


def whitening(covariances: np.ndarray, l2: float) -> np.ndarray:
    """W [actions, dim, dim] with W Wᵀ = (A + λI)⁻¹, so that ‖xᵀW‖² = xᵀ(A + λI)⁻¹x, for A [actions, dim, dim].

    It is computed by Cholesky factors, or where these are not exact enough by eigenvectors.
    """
    scale, scaled = _scaled(covariances, l2)
    try:
        roots = np.linalg.inv(np.linalg.cholesky(scaled)).swapaxes(1, 2)
        is_rough = np.einsum("aij,aij->a", roots, roots) > MAX_INVERSE_TRACE
    except np.linalg.LinAlgError:  # rounding errors made one of them indefinite
        roots, is_rough = np.empty_like(scaled), np.ones(len(scaled), bool)
    if is_rough.any():
        values, vectors = np.linalg.eigh(scaled[is_rough])
        roots[is_rough] = vectors / np.sqrt(_raised(values, scale[is_rough], l2))[:, None, :]
    return scale[:, :, None] * roots


def largest_condition_number(covariances: np.ndarray, l2: float, counts: np.ndarray) -> float:
    """The largest condition number of S(A + λI)S, as in `_scaled`, of the actions with the most interactions.

    These are all actions, or as many as take a fraction of a second. counts: interactions of each [actions].
    """
    dim, largest = covariances.shape[1], 0.0
    most = np.argsort(counts)[-max(1, EIGENVALUE_WORK // dim**3) :]
    for block in blocks(len(most), dim**2):
        scale, scaled = _scaled(covariances[most[block]], l2)
        values = _raised(np.linalg.eigvalsh(scaled), scale, l2)
        largest = max(largest, float((values[:, -1] / values[:, 0]).max()))
    return largest


def _scaled(covariances: np.ndarray, l2: float) -> tuple[np.ndarray, np.ndarray]:
    """S [actions, dim], and S(A + λI)S [actions, dim, dim].

    S is the diagonal of A + λI to the power of -½, so that units of features do not matter: without it, rounding errors
    of a feature near 1e6 exceed all that is known of a flag (van der Sluis: Condition Numbers and Equilibration of
    Matrices, 1969).
    """
    dim = covariances.shape[1]
    scale = 1 / np.sqrt(np.maximum(np.einsum("aii->ai", covariances), 0) + l2)  # differences of sums may be below 0
    return scale, scale[:, :, None] * (covariances + l2 * np.eye(dim)) * scale[:, None, :]


def _raised(values: np.ndarray, scale: np.ndarray, l2: float) -> np.ndarray:
    """Eigenvalues [actions, dim]; those below their rounding error, or below what λ adds to all, are raised to it."""
    rounding_error = values.shape[1] * np.finfo(np.float64).eps * values[:, -1:]
    return np.maximum(values, np.maximum(rounding_error, l2 * (scale**2).min(axis=1, keepdims=True)))
