"""The learning curve of on-policy training as one HTML page that works offline."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from banditloop.rl_core.config import Config
from banditloop.rl_core.promotion.on_policy import OnPolicy
from banditloop.rl_core.reports import html_page
from banditloop.rl_core.reports.learning_curve_page import BASELINES
from banditloop.rl_core.training.on_policy import Curve

MAX_POINTS = 500  # of a curve; more loops are averaged by neighbours
TITLE = "On-policy training"


def write_on_policy(config: Config, trained: OnPolicy, curve: Path, page: Path, **about: Any) -> dict[str, Any]:
    """Write `curve` as JSON and the page, and return the summary's known numbers. about: more to write into `curve`."""
    environment = config.environment.name if config.environment else ""
    shown = {"agent": config.agent.name, "environment": environment, "version": trained.manifest.version, **about}
    shown = content(trained.curve, trained.baselines, shown)
    for path in (curve, page):
        path.parent.mkdir(parents=True, exist_ok=True)
    curve.write_text(json.dumps(shown, indent=2))
    write_page(shown, page)
    return {name: value for name, value in shown["summary"].items() if value is not None}


def content(curve: Curve, baselines: Mapping[str, float], about: Mapping[str, Any]) -> dict[str, Any]:
    """What a page shows, plain: what was trained, the environment's baselines, the summary, and every loop."""
    return {
        **about,
        "baselines": dict(baselines),
        "summary": curve.summary(),
        "loops": [loop._asdict() for loop in curve.loops],
    }


def write_page(shown: Mapping[str, Any], path: Path) -> None:
    """Write the page of `content`."""
    loops, summary = shown["loops"], shown["summary"]
    returns = _curve(loops, "average_return", "reward per decision", shown["baselines"])
    body = html_page.decision(_text(shown)) + _tiles(summary)
    body += html_page.section("return", "Average return", "The mean reward of a loop's decisions.", returns)
    if summary["average_regret"] is not None:
        about = "What the best action of each context is expected to earn, minus what the chosen one is."
        body += html_page.section("regret", "Regret", about, _curve(loops, "regret", "regret per decision", {}))
    html_page.write_html(path, TITLE, body)


def _text(shown: Mapping[str, Any]) -> str:
    summary, baselines = shown["summary"], shown["baselines"]
    agent, environment = (html.escape(str(shown[name])) for name in ("agent", "environment"))
    text = f"{agent} in {environment}: {summary['interactions']:,} decisions in {summary['training_loops']:,} loops. "
    text += f"In the last loop a decision earned {summary['final_average_return']:.3f}"
    if "oracle" not in baselines:
        return f"{text}. What the best actions earn is not known."
    return f"""{text}; the best action of each context earns {baselines["oracle"]:.3f}, the best single action
{baselines["best_fixed"]:.3f}, a uniform choice {baselines["uniform"]:.3f}."""


def _tiles(summary: Mapping[str, Any]) -> str:
    names = {
        "final_average_return": ("final average return", "of the last loop"),
        "average_return": ("average return", "of all loops"),
        "final_regret": ("final regret", "of the last loop"),
        "cumulative_regret": ("cumulative regret", "of all decisions"),
    }
    return html_page.tiles({name: (html_page.number(summary[key]), note) for key, (name, note) in names.items()})


def _curve(loops: Sequence[Mapping[str, Any]], key: str, title: str, baselines: Mapping[str, float]) -> go.Figure:
    figure = html_page.empty_figure("decisions", title)
    parts = np.array_split(np.arange(len(loops)), min(MAX_POINTS, len(loops)))
    figure.add_scatter(
        x=[loops[part[-1]]["interactions"] for part in parts],
        y=[float(np.mean([loops[row][key] for row in part])) for part in parts],
        mode="lines+markers" if len(parts) < 50 else "lines",
        line={"color": html_page.BLUE, "width": 1.5},
        hovertemplate="%{x:,} decisions: %{y:.3f}<extra></extra>",
    )
    for name, value in baselines.items():
        text = f"{BASELINES[name]} {value:.2f}".replace("for each user", "for each context")
        label = {"text": text, "bgcolor": "rgba(255,255,255,.8)"}
        figure.add_hline(value, line_dash="dot", line_color=html_page.GREY, annotation=label)
    return figure
