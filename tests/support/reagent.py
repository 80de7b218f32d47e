"""ReAgent's table of logged episodes, as its users have it: maps in Parquet, and objects in CSV and JSON lines."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

COLUMNS = ("mdp_id", "sequence_number", "state_features", "action", "reward", "possible_actions", "action_probability")
BOTH = ["left", "right"]
TABLE = [  # in no order
    ("b", 7, {"1": 0.5}, "right", 2.0, BOTH, None, {"taps": 3.0}),
    ("a", 11, {"1": 2.5, "2": 7.0}, "right", 0.2, ["right"], 1.0, {}),
    ("a", 1, {"1": 1.5}, "left", 1.0, BOTH, 0.8, {"taps": 1.0}),
    ("b", 3, {"2": 4.0}, "left", 0.0, BOTH, 0.5, {}),
]
ROWS = [dict(zip((*COLUMNS, "metrics"), row, strict=True)) | {"ds": "2026-01-01"} for row in TABLE]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows to a file in the format of its suffix."""
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".csv":
        pa.csv.write_csv(pa.Table.from_pylist([{name: _text(v) for name, v in row.items()} for row in rows]), path)
    else:
        maps = {name: pa.map_(pa.string(), pa.float64()) for name in ("state_features", "metrics")}
        plain = pa.Table.from_pylist([{name: v for name, v in row.items() if name not in maps} for row in rows])
        for name, kind in maps.items():
            plain = plain.append_column(name, pa.array([list(row[name].items()) for row in rows], kind))
        pa.parquet.write_table(plain, path)


def _text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
