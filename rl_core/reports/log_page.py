"""The evaluation of a policy on any log as one HTML page that works offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from banditloop.rl_core.estimators.log_table import UNVARIED, finding
from banditloop.rl_core.reports import figures, html_page
from banditloop.rl_core.reports.evaluation_plots import ESTIMATOR_LABELS

ROW_HEIGHT = 34  # pixels


def write_page(summary: dict[str, Any], path: Path, shared: Path | None = None) -> None:
    """Write the page of a summary of `estimators.evaluate`, with plotly in the folder `shared` or, if None, inlined."""
    head, sections = outcome(summary) + _alarms(summary) + _tiles(summary), _estimates(summary) + _segments(summary)
    body = f'{head}<div class="columns">{sections}</div>{_diagnostics(summary)}'
    html_page.write_html(path, f"Evaluation: {summary.get('policy', 'a policy')}", body, shared)


def outcome(summary: dict[str, Any]) -> str:
    """What the interval of the difference says, as a sentence in the colour of good or bad."""
    low, high = summary["difference"]["low"], summary["difference"]["high"]
    unsure = low is None or low <= 0 <= high
    return html_page.decision(finding(summary), "unsure" if unsure else "good" if low > 0 else "bad")


def _alarms(summary: dict[str, Any]) -> str:
    audit, texts = summary["audit"], []
    if summary["diagnostics"]["alarm"]:
        texts.append("The weights do not average 1: logged propensities are wrong, or actions of the policy have none.")
    if audit and not audit["passes"]:
        texts.append("Actions were not chosen as often as the logged probabilities say. Do not rely on the estimates.")
    return "".join(f'<section><p class="alarm">{text}</p></section>' for text in texts)


def _tiles(summary: dict[str, Any]) -> str:
    name = "dr" if "dr" in summary["estimates"] else "snips"
    best, difference, detect = summary["estimates"][name], summary["difference"], summary["detect"]
    size = summary["diagnostics"]["effective_sample_size"]
    tiles = {
        f"mean reward, {ESTIMATOR_LABELS[name]}": (html_page.number(best["value"]), html_page.bounds(best)),
        f"difference to {summary['baseline']}": (html_page.number(difference["value"]), html_page.bounds(difference)),
        "interactions": (html_page.number(summary["interactions"]), f"worth {html_page.number(round(size))}"),
    }
    if detect:
        explanation = f"detect a difference of {detect['difference']:g} with a power of {detect['power']:.0%}"
        if detect["interactions"] is None:
            explanation = UNVARIED
        tiles["interactions needed"] = html_page.number(detect["interactions"]), explanation
    return html_page.tiles(tiles)


def _estimates(summary: dict[str, Any]) -> str:
    text = f"""Mean reward that the policy would have earned on this log, by estimator. Intervals contain the mean
reward itself with a probability of at least {summary["level"]:.0%}: an estimate outside is contradicted by the log.
Where there is none, the log has too little to tell. The mean reward of the log is {summary["mean_reward"]:.4g}."""
    rows = {ESTIMATOR_LABELS.get(name, name): row for name, row in summary["estimates"].items()}
    return figures.section("estimates", "Off-policy estimates", text, intervals("mean reward", rows))


def _segments(summary: dict[str, Any]) -> str:
    text = f"""Difference to {summary["baseline"]}, by segment. Each interval has its level for itself alone: of twenty
segments without any difference, one may seem to have one."""
    rows = {
        f"{figures.escape_for_plotly(row['segment'])}<br>{html_page.percent(row['fraction'])}": {
            "value": row["difference"],
            "low": row["difference_low"],
            "high": row["difference_high"],
        }
        for row in summary["segments"]
    }
    return figures.section("segments", "Segments", text, intervals("difference", rows)) if rows else ""


def intervals(title: str, rows: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """A plot of values with their intervals, by the names of rows."""
    figure = figures.empty_figure(title, "", 90 + ROW_HEIGHT * len(rows))
    values = list(rows.values())
    figure.add_scatter(
        x=[row["value"] for row in values],
        y=list(rows),
        mode="markers",
        marker={"color": figures.BLUE, "size": 8},
        hovertemplate="%{y}: %{text}<extra></extra>",
        **figures.error_bars("x", values),
    )
    return figure.update_yaxes(autorange="reversed", type="category", ticklabelstandoff=6)


def _diagnostics(summary: dict[str, Any]) -> str:
    """Whether the log supports the estimates."""
    weights, audit = summary["diagnostics"], summary["audit"]
    passed = "the probabilities of all actions were not logged"
    if audit:
        passed = "passes" if audit["passes"] else audit["text"]
    rows: Sequence[Sequence[Any]] = [
        ["effective sample size", html_page.number(round(weights["effective_sample_size"]))],
        ["largest weight", weights["largest_weight"]],
        ["mean weight (expected: 1)", weights["mean_weight"]],
        ["without overlap: weight 0", html_page.percent(weights["without_overlap"])],
        ["least logged propensity", f"{weights['least_propensity']:.4g}"],
        ["propensity audit", passed],
        *reading_of_files(summary),
    ]
    return f"<section><h2>Diagnostics</h2>{html_page.table(['log', ''], rows)}</section>"


def reading_of_files(summary: dict[str, Any]) -> list[list[Any]]:
    """Rows on the columns that were read as fields, and on what was left out."""
    return [
        *([f"column of {name}", column] for name, column in summary.get("columns", {}).items()),
        *([f"left out: {reason}", count] for reason, count in summary.get("left_out", {}).items()),
        *(["feature without a column, taken as missing", name] for name in summary.get("features_without_column", ())),
    ]
