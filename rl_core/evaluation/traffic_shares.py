"""The policies that could have answered each interaction of a log, by the shares of the traffic that were known then.

A share is logged with each decision: the probability with which its version was to answer at that moment. Shares that
are counted afterwards mislead: traffic that moves to another version while rewards rise looks like its merit.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MIN_EXPECTED_ROWS = 20.0  # of either version: below, whether both appear in the log depends on which one answered


def answering_shares(
    logged_by: np.ndarray, shares: np.ndarray, versions: int, sharing: tuple[int, int] | None = None
) -> np.ndarray:
    """The probability with which each version was to answer [rows, versions], rows in the order of time.

    logged_by [rows]: index of the version that answered. shares [rows]: its own share; NaN if unknown.
    sharing: two versions that shared the traffic, where one of them has no row of its own.

    The rest of a version's share was that of another one with just that share, the nearest in time. Where there is none
    or the share is unknown, the row is that of its own version alone: importance weights then are those of its own
    propensity, which hold whichever version was to answer but vary more.
    """
    mix = np.zeros((len(logged_by), versions))
    mix[np.arange(len(logged_by)), logged_by] = 1.0
    for share in np.unique(shares[(shares > 0) & (shares < 1)]):
        equal, rest = np.isclose(shares, share), np.isclose(shares, 1 - share)
        if sharing is None and (equal | rest).sum() * min(share, 1 - share) < MIN_EXPECTED_ROWS:
            continue
        for version in np.unique(logged_by[equal]):
            rows = np.flatnonzero(equal & (logged_by == version))
            others = np.flatnonzero(rest & (logged_by != version))
            if len(others):
                other = logged_by[_nearest(others, rows)]
            elif sharing and version in sharing:
                other = np.full(len(rows), sum(sharing) - version)
            else:
                continue
            mix[rows, version] = share
            mix[rows, other] = 1 - share
    return mix


def versions_mix(
    answered_by: np.ndarray, shares: np.ndarray, versions: Sequence[str], sharing: Sequence[str]
) -> np.ndarray:
    """The probability with which each version was to answer [rows, versions]; 0 where it is unknown who did.

    answered_by [rows]: index of the version that answered; -1: unknown. sharing: as for `answering_shares`, by name.
    """
    mix, known = np.zeros((len(answered_by), len(versions))), answered_by >= 0
    places = [versions.index(version) for version in sharing if version in versions]
    pair = (places[0], places[1]) if len(places) == 2 else None
    mix[known] = answering_shares(answered_by[known], shares[known], len(versions), pair)
    return mix


def without_shares_before(table: pa.Table, gone: np.ndarray, assigned: np.ndarray) -> pa.Table:
    """The rows, with an unknown share where the version was assigned before the last row of a version that is gone.

    gone [rows]: whether a row's version is not available any more. assigned [rows]: when the version was chosen. The
    rest of a share from before may have been that of the version that is gone, not of the two that share the traffic
    now.
    """
    if not gone.any():
        return table
    unknown = assigned <= table["timestamp"].to_numpy()[gone].max()
    shares = pc.if_else(pa.array(unknown), np.nan, table["assignment_share"])
    return table.set_column(table.column_names.index("assignment_share"), "assignment_share", shares)


def _nearest(positions: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The position, among ascending ones, that is nearest to each row."""
    after = np.searchsorted(positions, rows).clip(max=len(positions) - 1)
    before = (after - 1).clip(min=0)
    nearer_before = rows - positions[before] <= np.abs(positions[after] - rows)
    return positions[np.where(nearer_before, before, after)]
