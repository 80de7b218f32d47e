"""Responsive plots of HTML pages."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from banditloop.rl_core.reports.html_page import interval, odds

BLUE, ORANGE, GREY = "#2563eb", "#d97706", "#8b949e"  # candidate or challenger, champion, all others
# As in plotly_white, which is 6 kB in every plot.
AXIS = {
    "gridcolor": "#EBF0F8",
    "linecolor": "#EBF0F8",
    "zerolinecolor": "#EBF0F8",
    "zerolinewidth": 2,
    "automargin": True,
    "title": {"standoff": 15},
}
TEMPLATE = {
    "layout": {
        "font": {"color": "#2a3f5f"},
        "hoverlabel": {"align": "left"},
        "plot_bgcolor": "white",
        "xaxis": AXIS,
        "yaxis": AXIS,
        "shapedefaults": {"line": {"color": "#2a3f5f"}},
    }
}
# No dragging or zooming: touching a plot scrolls the page.
LAYOUT: dict[str, Any] = {
    "template": TEMPLATE,
    "font": {"family": "system-ui, sans-serif", "size": 12},
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    "margin": {"l": 45, "r": 10, "t": 30, "b": 45},
    "dragmode": False,
}


def section(name: str, title: str, text: str, figure: go.Figure | None) -> str:
    """A plot below a title and an explanation, as HTML; without a figure a note that there is no data yet."""
    content = plot(name, figure) if figure else "<p><em>No data yet.</em></p>"
    return f"<section><h2>{title}</h2><p>{text}</p>{content}</section>\n"


def plot(name: str, figure: go.Figure) -> str:
    """A figure as HTML, as wide as the element that contains it."""
    # Modules run after the whole page is laid out and elements have widths. to_json escapes "</script>".
    element = json.dumps(name).replace("<", r"\u003c")
    draw = f"Plotly.newPlot({element},{{...{figure.to_json()},config:{{responsive:true,displayModeBar:false}}}})"
    return f'<div class="plot" id="{html.escape(name)}"></div><script type="module">{draw}</script>'


def empty_figure(x: str, y: str, height: int = 320) -> go.Figure:
    """A figure without traces, with axis titles. The height is in pixels."""
    return go.Figure(layout=LAYOUT | {"height": height, "xaxis": {"title": x}, "yaxis": {"title": y}})


def error_bars(axis: str, rows: Sequence[Mapping[str, Any]], key: str = "value") -> dict[str, Any]:
    """Keyword arguments of add_scatter that draw the interval [low, high] of every row around its value."""
    above, below = ([_gap(row.get(end), row[key], sign) for row in rows] for end, sign in (("high", 1), ("low", -1)))
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 2, "width": 0}
    return {f"error_{axis}": bars, "text": [interval(row, key) for row in rows]}


def wealth_figure(
    x: str, positions: Sequence[float], log_wealth: Sequence[float | None], names: Sequence[str], needed: float
) -> go.Figure:
    """Log wealth after every check, starting from 0, and the threshold `needed`; `x` is the title of the x axis."""
    figure = empty_figure(x, "log wealth")
    labels = [escape_for_plotly(f"{name}: {odds(wealth)}") for name, wealth in zip(names, log_wealth, strict=True)]
    figure.add_scatter(
        x=[0, *positions],
        y=[0, *log_wealth],
        text=["start", *labels],
        hovertemplate="%{text}<extra></extra>",
        line_color=BLUE,
    )
    label = {"text": f"needed: {needed:.2f}, {odds(needed)}", "yanchor": "bottom", "xshift": 8}
    figure.add_hline(needed, line_dash="dot", line_color=GREY, annotation=label, annotation_position="top left")
    return figure


def escape_for_plotly(text: str) -> str:
    """Text that a plot shows literally: plotly interprets HTML tags in labels."""
    return html.escape(text, quote=False)


def _gap(end: float | None, value: float | None, sign: int) -> float | None:
    """The distance of an end of an interval from the value; negative if the value is beyond it."""
    return None if end is None or value is None else sign * (end - value)
