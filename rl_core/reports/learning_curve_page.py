"""The learning curve as one HTML page that works offline."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from banditloop.rl_core.reports import figures, html_page
from banditloop.rl_core.reports.versions import DATES

BASELINES = {"oracle": "best action for each user", "best_fixed": "best single action", "uniform": "uniform choice"}
CURVES = {
    "mean_reward": ("mean reward", "#1a7f37"),
    "value": ("value as served", figures.ORANGE),
    "greedy_value": ("greedy value", figures.BLUE),
}


def write_page(summary: dict[str, Any], path: Path) -> None:
    """Write the page with the learning curve and the table of versions from learning_curve.summary.

    Values and baselines are there where the summary has them.
    """
    curves = [key for key in CURVES if key in summary["versions"][-1]]
    rows = [
        [version["version"], version["interactions"], *(version[key] for key in curves)]
        + [html_page.moment(version[key]) for key in DATES]
        for version in summary["versions"]
    ]
    header = "version", "interactions", *(CURVES[key][0] for key in curves), *(f"{name} (UTC)" for name in DATES)
    plot, table = figures.plot("learning", _curve(summary, curves)), html_page.table(header, rows)
    html_page.write_html(path, "Learning curve", html_page.decision(_text(summary)) + plot + table)


def _text(summary: dict[str, Any]) -> str:
    """What the newest policy earns, as far as it is known."""
    newest = summary["versions"][-1]
    if "episodes" in summary:
        return f"""An episode of the newest policy earns {newest["value"]:.3g} as served, exploration included, and
{newest["greedy_value"]:.3g} with its best actions: means of {summary["episodes"]} episodes in the environment. A
uniform choice earns {summary["uniform"]:.3g}. The mean reward is that of a step, as logged."""
    if "value" in newest:
        value, oracle = newest["value"], summary["oracle"]
        best = f"; the best action for each user has {oracle:.3f}"
        if oracle > 0:
            best = f": {value / oracle:.0%} of the {oracle:.3f} of the best action for each user"
        return f"""The newest policy has a value as served of {value:.3f} per recommendation, exploration
included{best}. A uniform choice has {summary["uniform"]:.3f}, the best
single action {summary["best_fixed"]:.3f}."""
    earned = "no reward yet" if newest["mean_reward"] is None else f"a mean reward of {newest['mean_reward']:.3f}"
    return f"The newest policy has {earned}. The environment does not know the true value of policies."


def _curve(summary: dict[str, Any], curves: list[str]) -> go.Figure:
    versions = summary["versions"]
    earlier_interactions = [sum(v["interactions"] for v in versions[:i]) for i in range(len(versions))]
    unit = "return of an episode" if "episodes" in summary else "reward per recommendation"
    figure = figures.empty_figure("interactions before the version", unit, height=450)
    for key in reversed([key for key in curves if not ("episodes" in summary and key == "mean_reward")]):
        name, colour = CURVES[key]
        figure.add_scatter(
            x=earlier_interactions,
            y=[version[key] for version in versions],
            name=name,
            mode="lines+markers",
            line_color=colour,
            text=[figures.escape_for_plotly(version["version"]) for version in versions],
            hovertemplate="%{text}: %{y:.3f}",
        )
    for key, name in BASELINES.items():
        if key in summary:
            figure.add_hline(
                summary[key], line_dash="dot", line_color="#888", annotation_text=f"{name} {summary[key]:.2f}"
            )
    return figure
