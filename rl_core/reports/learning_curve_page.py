"""The learning curve as one HTML page that works offline."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from banditloop.rl_core.reports import html_page

BASELINES = {"oracle": "best action for each user", "best_fixed": "best single action", "uniform": "uniform choice"}
CURVES = {
    "mean_reward": ("mean reward", "#1a7f37"),
    "value": ("value as served", html_page.ORANGE),
    "greedy_value": ("greedy value", html_page.BLUE),
}
HEADER = "version", "interactions", *(name for name, _ in CURVES.values())


def write_page(summary: dict[str, Any], path: Path) -> None:
    """Write the page with the learning curve and the table of versions from learning_curve.summary."""
    newest, oracle = summary["versions"][-1], summary["oracle"]
    rows = [[version[key] for key in ("version", "interactions", *CURVES)] for version in summary["versions"]]
    text = f"""The newest policy has a value as served of {newest["value"]:.3f} per recommendation, exploration
included: {newest["value"] / oracle:.0%} of the {oracle:.3f} of the best action for each user. A uniform choice has
{summary["uniform"]:.3f}, the best single action {summary["best_fixed"]:.3f}."""
    plot, table = html_page.plot("learning", _curve(summary)), html_page.table(HEADER, rows)
    html_page.write_html(path, "Learning curve", html_page.decision(text) + plot + table)


def _curve(summary: dict[str, Any]) -> go.Figure:
    versions = summary["versions"]
    earlier_interactions = [sum(v["interactions"] for v in versions[:i]) for i in range(len(versions))]
    figure = html_page.empty_figure("interactions before the version", "reward per recommendation", height=450)
    for key, (name, colour) in reversed(CURVES.items()):
        figure.add_scatter(
            x=earlier_interactions,
            y=[version[key] for version in versions],
            name=name,
            mode="lines+markers",
            line_color=colour,
            text=[html_page.escape_for_plotly(version["version"]) for version in versions],
            hovertemplate="%{text}: %{y:.3f}",
        )
    for key, name in BASELINES.items():
        figure.add_hline(summary[key], line_dash="dot", line_color="#888", annotation_text=f"{name} {summary[key]:.2f}")
    return figure
