"""The times of a log: every usual form, and what is refused."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from banditloop.rl_core.errors import InvalidInput
from tests.support.log_files import NUMBERED, read, write


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1769860800", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("1769860800500", datetime(2026, 1, 31, 12, 0, 0, 500_000, UTC)),
        ("2026-01-31 12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00+00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 06:30:00.25-05:30", datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)),
        ("2026-01-31 14:00:00+02", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("20260131", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T13:00:00.1234567+01:00", datetime(2026, 1, 31, 12, 0, 0, 123_456, UTC)),
    ],
)
def test_times_are_read_in_every_usual_form(tmp_path, time, expected):
    path = write(tmp_path, f"event_id,timestamp,action,reward,propensity\nx,{time},0,1,.5\n")
    [decision], _ = read(path, NUMBERED)
    assert decision["timestamp"] == expected


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("scale", [1, 1.0])
def test_numbers_that_are_dates_are_read_as_dates(tmp_path, suffix, scale):
    """As seconds, they would be of the summer of 1970. A float is what pandas makes of them beside missing values."""
    days = np.datetime64("1970-01-02") + np.random.default_rng(0).integers(0, 47_000, 200)
    whole = [int(str(day).replace("-", "")) for day in days]
    table = {"event_id": list(map(str, range(200))), "ds": [number * scale for number in whole], "action": [0] * 200}
    table |= {"reward": [1.0] * 200, "propensity": [0.5] * 200}
    write_table = pa.csv.write_csv if suffix == "csv" else pa.parquet.write_table
    write_table(pa.table(table), tmp_path / f"log.{suffix}")
    decisions, _ = read(tmp_path / f"log.{suffix}", NUMBERED, ["timestamp=ds"])
    assert [str(decision["timestamp"].date()) for decision in decisions] == list(map(str, days))


@pytest.mark.parametrize(
    ("times", "row", "message"),
    [
        (["20240131", "20240230"], 2, "'20240230': give a time, .* other rows are dates YYYYMMDD"),
        (["20240131", "1769860800"], 2, "'1769860800': give a time, .* other rows are dates YYYYMMDD"),
        (["20240131.5", "20240131"], 1, "'20240131.5': give a time, .* other rows are dates YYYYMMDD"),
        (["19690131", "20240131"], 1, "'19690131': give a time"),
        (["20240131", "2024-01-31"], 1, "'20240131': give a time"),
        (["2026-01-31 12:00:00+00", "2026-01-31 12:00:00"], 2, ".* all with a time zone, or none"),
        (["2026-01-31 12:00:00", "2026-01-31 12:00:00+00"], 2, ".* all with a time zone, or none"),
        (["2026-01-31", "2026-01-31T12:00:00Z"], 2, ".* all with a time zone, or none"),
        (["2026-01-31T12:00:00Z", "2026-01-31"], 2, ".* all with a time zone, or none"),
    ],
)
def test_times_of_several_forms_in_a_column_are_refused(tmp_path, times, row, message):
    rows = "".join(f"{number},{time},0,1,.5\n" for number, time in enumerate(times))
    path = write(tmp_path, f"event_id,timestamp,action,reward,propensity\n{rows}")
    with pytest.raises(InvalidInput, match=f"row {row}: timestamp = {message}"):
        read(path, NUMBERED)
