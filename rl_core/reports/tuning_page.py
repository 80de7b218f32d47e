"""A tuning as one HTML page that works offline: what was found, whether it is better, and every trial."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from banditloop.rl_core.reports import figures, html_page

NAMES = {"present": "settings in use", "best": "best settings", "difference": "difference"}
COLOURS = {"complete": figures.BLUE, "pruned": figures.GREY}
ERRORS = 1.96  # standard errors shown on either side


def write_tuning(
    summary: Mapping[str, Any], parameters: Path, page: Path, shared: Path | None = None
) -> dict[str, float]:
    """Write the result of `tune` as JSON and as a page; returns its key numbers.

    shared: folder of the plotly that pages share; None: it is inlined.
    """
    parameters.parent.mkdir(parents=True, exist_ok=True)
    parameters.write_text(json.dumps(summary, indent=2))
    write_page(summary, page, shared)
    compared = summary["comparison"] or {}
    numbers = {f"{name}_{end}": value for name, part in compared.items() for end, value in part.items()}
    return {"trials": len(summary["trials"]), "best_value": summary["trials"][0]["value"]} | numbers


def write_page(summary: Mapping[str, Any], page: Path, shared: Path | None = None) -> None:
    """Write the page."""
    body = html_page.decision(html.escape(summary["finding"]), "good" if summary["better"] else "unsure")
    if summary["comparison"]:
        compared = [[NAMES[name], html_page.interval(part)] for name, part in summary["comparison"].items()]
        body += html_page.table(("", f"{summary['metric']}, on {summary['tested_on']}, with 95 % interval"), compared)
    text = f"The {summary['metric']}, with 95 % intervals over the seeds; grey: ended early."
    body += figures.section("trials", "Trials", text, _figure(summary["trials"]))
    rows = trial_rows(summary)
    body += html_page.table(list(rows[0]), [list(row.values()) for row in rows], text=("state",))
    if experiment := summary.get("experiment"):
        body += f'<p><a href="{html.escape(experiment)}">The trials beside those of other runs</a></p>'
    html_page.write_html(page, "Tuning", body, shared)


def trial_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each trial, the best first: number, value, standard error, settings, seeds and state."""
    keys = dict.fromkeys(key for trial in summary["trials"] for key in trial["parameters"])
    return [
        {"trial": trial["number"], "value": trial["value"], "error": trial["standard_error"]}
        | {key: _setting(trial["parameters"].get(key)) for key in keys}
        | {"seeds": trial["seeds"], "state": trial["state"]}
        for trial in summary["trials"]
    ]


def _figure(trials: Sequence[Mapping[str, Any]]) -> go.Figure:
    """The value of every trial, by number."""
    figure = figures.empty_figure("trial", "value")
    for state, colour in COLOURS.items():
        rows = [
            {"number": trial["number"], "value": trial["value"], "text": _settings(trial)}
            | {end: _end(trial, sign) for end, sign in (("low", -1), ("high", 1))}
            for trial in sorted(trials, key=lambda trial: trial["number"])
            if trial["state"] == state and trial["value"] is not None
        ]
        figure.add_scatter(
            x=[row["number"] for row in rows],
            y=[row["value"] for row in rows],
            mode="markers",
            name=state,
            marker_color=colour,
            **figures.error_bars("y", rows) | {"text": [row["text"] for row in rows]},
            hovertemplate="%{y:.4g}<br>%{text}<extra></extra>",
        )
    return figure


def _end(trial: Mapping[str, Any], sign: int) -> float | None:
    return None if trial["standard_error"] is None else trial["value"] + sign * ERRORS * trial["standard_error"]


def _setting(value: Any) -> Any:
    """A setting as it is shown: a decimal number with three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else value


def _settings(trial: Mapping[str, Any]) -> str:
    settings = (
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in trial["parameters"].items()
    )
    return figures.escape_for_plotly(", ".join(settings))
