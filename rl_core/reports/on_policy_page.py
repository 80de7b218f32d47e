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
from banditloop.rl_core.reports import figures, html_page
from banditloop.rl_core.reports.learning_curve_page import BASELINES
from banditloop.rl_core.training.on_policy import Curve

MAX_POINTS = 500  # of a curve; more loops are averaged by neighbours
TITLE = "On-policy training"
COUNTS = ("interactions", "average_return", "episodes")  # of a loop, without a curve of their own
MEASURES = {  # title, unit and explanation by name
    "regret": (
        "Regret",
        "regret per decision",
        "What the best action of each context is expected to earn, minus what the chosen one is.",
    ),
    "average_length": ("Episode length", "steps", "The mean number of decisions of a loop's episodes."),
    "entropy": (
        "Entropy",
        "nats",
        "Of the probabilities that decisions were drawn by: 0 if certain, the logarithm of the number of actions if "
        "all are equally likely.",
    ),
    "policy_loss": ("Policy loss", "loss", "What the gradient steps of the policy reduce, in the last pass of a loop."),
    "value_loss": ("Value loss", "share of variance", "The squared error of predicted returns, in the last pass."),
}
SHARED_TILES = {
    "final_average_return": ("final average return", "of the last loop"),
    "average_return": ("average return", "of all loops"),
}
DECISION_TILES = {
    "final_regret": ("final regret", "of the last loop"),
    "cumulative_regret": ("cumulative regret", "of all decisions"),
}
EPISODE_TILES = {"average_length": ("episode length", "of the last loop"), "entropy": ("entropy", "of the last loop")}


def write_training_report(config: Config, trained: OnPolicy, curve: Path, page: Path, **details: Any) -> dict[str, Any]:
    """Write `curve` as JSON and the page, and return the summary's known numbers. details: more for `curve`."""
    environment = config.environment.name if config.environment else ""
    shown = {"agent": config.agent.name, "environment": environment, "version": trained.manifest.version, **details}
    shown = content(trained.curve, trained.baselines, shown)
    for path in (curve, page):
        path.parent.mkdir(parents=True, exist_ok=True)
    curve.write_text(json.dumps(shown, indent=2))
    write_page(shown, page)
    return {name: value for name, value in shown["summary"].items() if value is not None}


def content(curve: Curve, baselines: Mapping[str, float], details: Mapping[str, Any]) -> dict[str, Any]:
    """What a page shows, plain: what was trained, the environment's baselines, the summary, and every loop."""
    return {
        **details,
        "baselines": dict(baselines),
        "summary": curve.summary(),
        "loops": [loop.row() for loop in curve.loops],
    }


def write_page(shown: Mapping[str, Any], path: Path) -> None:
    """Write the page of `content`."""
    loops, summary = shown["loops"], shown["summary"]
    per = "episode" if "episodes" in summary else "decision"
    returns = _curve(loops, "average_return", f"reward per {per}", shown["baselines"])
    body = html_page.decision(_text(shown, per)) + _tiles(summary)
    body += figures.section("return", "Average return", f"The mean reward of a loop's {per}s.", returns)
    for name, first in loops[0].items():
        if name not in COUNTS and first is not None:
            title = html.escape(name.replace("_", " ").capitalize())
            own = title, figures.escape_for_plotly(name), "As reported by the agent."
            title, unit, text = MEASURES.get(name, own)
            body += figures.section(name, title, text, _curve(loops, name, unit, {}))
    html_page.write_html(path, TITLE, body)


def _text(shown: Mapping[str, Any], per: str) -> str:
    summary, baselines = shown["summary"], shown["baselines"]
    agent, environment = (html.escape(str(shown[name])) for name in ("agent", "environment"))
    is_episode, loops = per == "episode", f"{summary['training_loops']:,} loops"
    episodes = f"{summary['episodes']:,} episodes with " if is_episode else ""
    text = f"{agent} in {environment}: {episodes}{summary['interactions']:,} decisions in {loops}. "
    text += f"In the last loop {'an' if is_episode else 'a'} {per} earned {summary['final_average_return']:.3f}"
    if is_episode:
        return f"{text} in {summary['average_length']:,.1f} steps."
    if "oracle" not in baselines:
        return f"{text}. What the best actions earn is not known."
    return f"""{text}; the best action of each context earns {baselines["oracle"]:.3f}, the best single action
{baselines["best_fixed"]:.3f}, a uniform choice {baselines["uniform"]:.3f}."""


def _tiles(summary: Mapping[str, Any]) -> str:
    tiles = SHARED_TILES | (EPISODE_TILES if "episodes" in summary else DECISION_TILES)
    return html_page.tiles({name: (html_page.number(summary[key]), note) for key, (name, note) in tiles.items()})


def _curve(loops: Sequence[Mapping[str, Any]], key: str, title: str, baselines: Mapping[str, float]) -> go.Figure:
    figure = figures.empty_figure("decisions", title)
    parts = np.array_split(np.arange(len(loops)), min(MAX_POINTS, len(loops)))
    figure.add_scatter(
        x=[loops[part[-1]]["interactions"] for part in parts],
        y=[float(np.mean([loops[row][key] for row in part])) for part in parts],
        mode="lines+markers" if len(parts) < 50 else "lines",
        line={"color": figures.BLUE, "width": 1.5},
        hovertemplate="%{x:,} decisions: %{y:.3f}<extra></extra>",
    )
    for name, value in baselines.items():
        text = f"{BASELINES[name]} {value:.2f}".replace("for each user", "for each context")
        label = {"text": text, "bgcolor": "rgba(255,255,255,.8)"}
        figure.add_hline(value, line_dash="dot", line_color=figures.GREY, annotation=label)
    return figure
