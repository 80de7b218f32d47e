"""Times in a log's columns, in the usual forms."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.schema import MAX_TIME, MIN_TIME, TIME
from banditloop.rl_core.logs.batches import Cells
from banditloop.rl_core.logs.values import cast_texts, numbers

EPOCHS = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))  # bounds of s, ms and µs since 1970; µs in each
FIRST_DATE, LAST_DATE = 19000101, 21001231  # dates as numbers; as seconds, they would be of the summer of 1970
ZONE = r"[T ].*(Z|[+-]\d\d(:?\d\d)?)$"  # after a time of day: a date ends like a zone


def read_times(cells: Cells) -> pa.Array:
    """The values as times, in UTC by default: ISO 8601, or seconds, milliseconds or microseconds since 1970.

    Where one of the numbers is a whole one from 19000101 to 21001231, all must be dates YYYYMMDD.
    """
    values, hint = cells.values, "give a time, as 2026-01-31T12:00:00Z or seconds since 1970"
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        zoned = values.cast(pa.timestamp("us", values.type.tz), safe=False) if _zone(values) else None
        moments = (values.cast(pa.timestamp("us"), safe=False) if zoned is None else zoned).cast(pa.int64())
    elif pa.types.is_string(values.type) and not _all_numbers(values):
        moments = _parsed(cells, pc.utf8_trim_whitespace(values), hint)
    else:
        moments = _counted(cells, numbers(cells, 0, EPOCHS[-1][0], hint), hint)
    instants = moments.cast(pa.int64()).cast(pa.timestamp("us")).cast(TIME)
    inside = pc.and_(
        pc.greater_equal(instants, pa.scalar(MIN_TIME, TIME)), pc.less(instants, pa.scalar(MAX_TIME, TIME))
    )
    cells.refuse(~inside.fill_null(True).to_numpy(zero_copy_only=False), hint)
    return instants


def _counted(cells: Cells, since: np.ndarray, hint: str) -> pa.Array:
    """Numbers as times in microseconds: dates YYYYMMDD, or counts since 1970; missing where NaN."""
    if ((since >= FIRST_DATE) & (since <= LAST_DATE) & (since % 1 == 0)).any():
        written = pa.array([None if np.isnan(number) else f"{number:.15g}" for number in since.tolist()], pa.string())
        dates = pc.replace_substring_regex(written, r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3")
        return cast_texts(cells, dates, pa.timestamp("us"), f"{hint}; other rows are dates YYYYMMDD").cast(pa.int64())
    factor = np.select([since < bound for bound, _ in EPOCHS], [scale for _, scale in EPOCHS], 1)
    return pa.array((np.nan_to_num(since) * factor).round().astype(np.int64), mask=np.isnan(since))


def _parsed(cells: Cells, values: pa.Array, hint: str) -> pa.Array:
    """Texts as times in microseconds. Either all have a time zone, as the first one has or lacks it, or none."""
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    values = pc.replace_substring_regex(values, r"(\.\d{6})\d+", r"\1")
    present = values.drop_null()
    zoned = len(present) > 0 and pc.match_substring_regex(present[:1], ZONE)[0].as_py()
    kind = pa.timestamp("us", "UTC" if zoned else None)
    return cast_texts(cells, values, kind, f"{hint}; all with a time zone, or none").cast(pa.int64())


def _all_numbers(values: pa.Array) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, r"^\s*[0-9]+(\.[0-9]*)?\s*$"), min_count=0).as_py())


def _zone(values: pa.Array) -> str | None:
    return values.type.tz if pa.types.is_timestamp(values.type) else None
