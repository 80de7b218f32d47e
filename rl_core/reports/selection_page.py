"""The comparison of several policies as one HTML page that works offline."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from banditloop.rl_core.reports import html_page


def write_selection(comparison: Mapping[str, Any], path: Path, page: Path) -> dict[str, float]:
    """Write what `select_policy` found as JSON and as a page; returns its key numbers."""
    for file in (path, page):
        file.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(comparison, indent=2))
    rows, metric = comparison["policies"], comparison["metric"]
    best, samples = rows[0], f"{comparison['samples']:,} {comparison['unit']}"
    text = f"{best['version']}, trained with {_text(best)}, is the best of {len(rows)}: {metric} {best['value']:,.4g}."
    body = html_page.decision(html.escape(text), "good")
    header = ["settings", "seed", "version", metric, "± error", "mean of the settings", "minus the best", "± error "]
    names = ("value", "standard_error", "setting_value", "difference", "difference_error")
    cells = [[_settings(row), _seed(row), row["version"], *(row[name] for name in names)] for row in rows]
    body += html_page.table(header, cells, text=("version",))
    body += f"<p>All policies were compared on the same {samples}; errors are standard errors.</p>"
    html_page.write_html(page, "Policies compared", body)
    numbers = {"policies": len(rows), "best_value": best["value"], "best_standard_error": best["standard_error"]}
    return {name: number for name, number in numbers.items() if number is not None}


def _settings(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in row["hyperparameters"].items()) or "the config's settings"


def _seed(row: Mapping[str, Any]) -> str:
    return "–" if row["seed"] is None else str(row["seed"])


def _text(row: Mapping[str, Any]) -> str:
    return _settings(row) + ("" if row["seed"] is None else f" and seed {row['seed']}")
