"""The plots of an evaluation, each with the words that explain it, as HTML."""

import math

import plotly.graph_objects as go

from rl_core import pages
from rl_core.evaluation.figures import Figures

SIDES = {"candidate": pages.BLUE, "champion": pages.ORANGE}
NAMES = {
    "replay": "replay",
    "ips": "IPS",
    "clipped_ips": "clipped IPS",
    "snips": "SNIPS",
    "direct": "direct method",
    "dr": "doubly robust",
    "switch_dr": "SWITCH-DR",
    "dros": "DRos",
}


def estimates(found: Figures) -> str:
    """What every estimator says of both policies."""
    words = """Mean reward that each policy would have earned on the held-out interactions, by estimator, with 95 %
intervals. Estimators that disagree widely tell that overlap is poor or the reward model wrong; the doubly robust one
is right where either the propensities or the model are."""
    names = {name: NAMES.get(name, name) for name in found["estimates"]}
    figure = pages.chart("mean reward", "", 110 + 34 * len(names))
    for side in SIDES:
        rows = [found["estimates"][name][side] for name in names]
        _dots(figure, side, list(names.values()), rows)
    figure.update_layout(scattermode="group", scattergap=0.5)
    drawn = any(row["value"] is not None for sides in found["estimates"].values() for row in sides.values())
    return pages.section("estimates", "Off-policy estimates", words, figure if drawn else None)


def wealth(found: Figures) -> str:
    """The lineage's log wealth after every look."""
    looks, needed = found["wealth"], found["needed"]
    odds = f"{math.exp(needed):,.0f}"
    words = f"""A gambler starts with 1 and bets on every held-out interaction that the champion's candidates, one
after the other, earn more than it. If none did, the wealth would ever reach {odds} with a probability of at most 1 in
{odds}, however often one looks: odds of {odds} to 1, a log wealth of {needed:.2f}, promote. A bet that this candidate
earns less stands at {pages.odds(found["verdict"]["worse"])}."""
    seen, logs = [look["interactions"] for look in looks], [look["log_wealth"] for look in looks]
    figure = pages.wealth("held-out interactions", seen, logs, [look["version"] for look in looks], needed)
    return pages.section("wealth", "Evidence that the candidate earns more", words, figure if looks else None)


def weights(found: Figures) -> str:
    """How the importance weights are distributed."""
    words = """How many times likelier the policy takes a logged action than those who logged it. Weights near 1 mean
that the log resembles the policy; an estimate that rests on a few large weights is a guess."""
    weights = found["weights"]
    pairs = zip(weights["edges"], weights["edges"][1:], strict=False)
    labels = [f"{low:g}–{high:g}" if high is not None else f"over {low:g}" for low, high in pairs]
    figure = pages.chart("importance weight", "share of the interactions")
    for side, colour in SIDES.items():
        shares = [count / max(1, sum(weights[side])) for count in weights[side]]
        figure.add_bar(x=labels, y=shares, name=side, marker_color=colour, hovertemplate="%{x}: %{y:.1%}")
    figure.update_layout(xaxis_type="category", yaxis_tickformat=".0%", xaxis_tickangle=-45)
    drawn = any(sum(weights[side]) for side in SIDES)
    return pages.section("weights", "Importance weights", words, figure if drawn else None)


def actions(found: Figures) -> str:
    """How often each policy takes each action."""
    words = "How often each policy would take each action for the users of the held-out interactions."
    figure = pages.chart("action", "share of the decisions")
    for side, colour in SIDES.items():
        figure.add_bar(y=found["actions"][side], name=side, marker_color=colour, hovertemplate="%{x}: %{y:.1%}")
    figure.update_layout(yaxis_tickformat=".0%")
    drawn = any(share for side in SIDES for share in found["actions"][side])
    return pages.section("actions", "Actions", words, figure if drawn else None)


def segments(found: Figures) -> str:
    """The difference among groups of users."""
    words = """What the candidate earns more than the champion (doubly robust, 95 % intervals), among users below and
above the mean of a feature: where they differ most. An interval left of 0 is a group that would lose."""
    rows = found["segments"]
    figure = pages.chart("difference", "", 90 + 34 * len(rows))
    labels = [f"{pages.plain(row['segment'])}<br>{pages.percent(row['share'])} of the interactions" for row in rows]
    _dots(figure, "candidate", labels, rows)
    figure.add_vline(0, line_color=pages.GREY, line_dash="dot")
    return pages.section("segments", "Segments", words, figure if rows else None)


def learning(found: Figures) -> str:
    """What every version has earned."""
    words = "Mean reward that each version has earned while it was served, exploration included, oldest first."
    rows = found["learning"]
    figure = pages.chart("", "mean reward")
    figure.add_scatter(
        x=[pages.plain(row["version"]) for row in rows],
        y=[row["mean_reward"] for row in rows],
        text=[f"{pages.number(row['interactions'])} interactions" for row in rows],
        mode="lines+markers",
        line_color=pages.ORANGE,
        hovertemplate="%{x}: %{y:.3f}, %{text}<extra></extra>",
    )
    figure.update_layout(xaxis_type="category")
    return pages.section("learning", "Learning curve", words, figure if rows else None)


def _dots(figure: go.Figure, side: str, labels: list[str], rows: list[Figures]) -> None:
    """Values with intervals, one below the other."""
    figure.add_scatter(
        x=[row["value"] for row in rows],
        y=labels,
        name=side,
        mode="markers",
        orientation="h",
        marker={"color": SIDES[side], "size": 8},
        hovertemplate="%{y}: %{text}",
        **pages.whiskers("x", rows),
    )
    figure.update_yaxes(autorange="reversed", type="category", ticklabelstandoff=6)
