"""The loop's figures as one HTML page that works offline."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from rl_core import pages

BASELINES = {"oracle": "best action for each user", "best_fixed": "best single action", "uniform": "uniform choice"}
CURVES = {
    "greedy_value": ("value of its best guesses", pages.BLUE),
    "value": ("value as served", pages.ORANGE),
    "mean_reward": ("mean reward logged", "#1a7f37"),
}
HEADER = "version", "interactions", "mean reward logged", "value as served", "value of its best guesses"


def write_page(summary: dict[str, Any], path: Path) -> None:
    """Write the learning curve and the table of a loop's summary."""
    last = summary["versions"][-1]
    rows = [[version[key] for key in ("version", "interactions", *reversed(CURVES))] for version in summary["versions"]]
    words = f"""<p id="decision">The policy that serves now earns {last["value"]:.3f} a recommendation, exploration
included: {last["value"] / summary["oracle"]:.0%} of the {summary["oracle"]:.3f} that knowing every user's best action
would. Choosing uniformly earns {summary["uniform"]:.3f}, the best single action {summary["best_fixed"]:.3f}.</p>
"""
    body = words + pages.plot("learning", _curve(summary)) + pages.table(HEADER, rows)
    pages.write(path, "What the loop learned", body)


def _curve(summary: dict[str, Any]) -> go.Figure:
    versions = summary["versions"]
    seen = [sum(v["interactions"] for v in versions[:i]) for i in range(len(versions))]
    figure = pages.chart("interactions learned from", "reward a recommendation", height=450)
    for key, (name, colour) in CURVES.items():
        figure.add_scatter(
            x=seen,
            y=[v[key] for v in versions],
            name=name,
            mode="lines+markers",
            line_color=colour,
            text=[pages.plain(v["version"]) for v in versions],
            hovertemplate="%{text}: %{y:.3f}",
        )
    for key, name in BASELINES.items():
        figure.add_hline(summary[key], line_dash="dot", line_color="#888", annotation_text=f"{name} {summary[key]:.2f}")
    return figure
