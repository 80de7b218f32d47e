"""The plots of an evaluation summary, each with an explanation, as HTML sections."""

import math

import plotly.graph_objects as go

from banditloop.rl_core.evaluation.episodes.summary import is_of_episodes
from banditloop.rl_core.evaluation.summary import Summary
from banditloop.rl_core.reports import figures, html_page

SIDES = {"candidate": figures.BLUE, "champion": figures.ORANGE}
ESTIMATOR_LABELS = {
    "replay": "replay",
    "ips": "IPS",
    "clipped_ips": "clipped IPS",
    "snips": "SNIPS",
    "direct": "direct method",
    "dr": "doubly robust",
    "switch_dr": "SWITCH-DR",
    "dros": "DRos",
}


def estimates(summary: Summary) -> str:
    """Every estimator's value of both policies, with intervals."""
    text = """Mean reward that each policy would have earned on the held-out interactions, by estimator. Intervals
contain the policy's mean reward itself with a probability of at least 95 %: an estimate outside is contradicted by the
log. Where there is none, the log has too little to tell. Large disagreement between estimators indicates poor
overlap or a wrong reward model; the doubly robust estimate is correct if either the propensities or the reward model
are."""
    labels = {name: ESTIMATOR_LABELS.get(name, name) for name in summary["estimates"]}
    figure = figures.empty_figure("mean reward", "", 110 + 34 * len(labels))
    for side in SIDES:
        rows = [summary["estimates"][name][side] for name in labels]
        add_intervals(figure, side, list(labels.values()), rows)
    figure.update_layout(scattermode="group", scattergap=0.5)
    has_data = any(row["value"] is not None for sides in summary["estimates"].values() for row in sides.values())
    return figures.section("estimates", "Off-policy estimates", text, figure if has_data else None)


def wealth(summary: Summary) -> str:
    """The log wealth of the line of candidates after every evaluation."""
    checks, needed = summary["wealth"], summary["needed"]
    odds = f"{math.exp(needed):,.0f}"
    unit = "episode" if is_of_episodes(summary) else "interaction"
    text = f"""The test starts with a wealth of 1 and bets on every held-out {unit} that the champion's candidates,
one after the other, earn more than it. If none does, the probability that the wealth ever reaches {odds} is at most
1 in {odds}, however often it is checked. Odds of {odds} to 1, a log wealth of {needed:.2f}, promote. The odds that this
candidate earns less are {html_page.odds(summary["verdict"]["worse"])}."""
    positions, log_wealth = [check["interactions"] for check in checks], [check["log_wealth"] for check in checks]
    names = [check["version"] for check in checks]
    figure = figures.wealth_figure(f"held-out {unit}s", positions, log_wealth, names, needed)
    return figures.section("wealth", "Evidence that the candidate earns more", text, figure if checks else None)


def weights(summary: Summary) -> str:
    """The distribution of the importance weights of both policies."""
    text = """Probability of the logged action under the policy, divided by its propensity. Weights near 1 mean that the
policy resembles those that wrote the log; an estimate that depends on a few large weights is unreliable."""
    weights = summary["weights"]
    pairs = zip(weights["edges"], weights["edges"][1:], strict=False)
    labels = [f"{low:g}–{high:g}" if high is not None else f"over {low:g}" for low, high in pairs]
    figure = figures.empty_figure("importance weight", "fraction of the interactions")
    for side, colour in SIDES.items():
        fractions = [count / max(1, sum(weights[side])) for count in weights[side]]
        figure.add_bar(x=labels, y=fractions, name=side, marker_color=colour, hovertemplate="%{x}: %{y:.1%}")
    figure.update_layout(xaxis_type="category", yaxis_tickformat=".0%", xaxis_tickangle=-45)
    has_data = any(sum(weights[side]) for side in SIDES)
    return figures.section("weights", "Importance weights", text, figure if has_data else None)


def actions(summary: Summary) -> str:
    """How often each policy takes each action."""
    text = "How often each policy would take each action for the users of the held-out interactions."
    figure = figures.empty_figure("action", "fraction of the decisions")
    ids = [figures.escape_for_plotly(action) for action in summary["action_ids"]]
    for side, colour in SIDES.items():
        bars = {"x": ids, "y": summary["actions"][side]}
        figure.add_bar(**bars, name=side, marker_color=colour, hovertemplate="%{x}: %{y:.1%}")
    figure.update_layout(xaxis_type="category", yaxis_tickformat=".0%")
    has_data = any(fraction for side in SIDES for fraction in summary["actions"][side])
    return figures.section("actions", "Actions", text, figure if has_data else None)


def segments(summary: Summary) -> str:
    """The difference between the policies by segment of users."""
    text = """Difference between candidate and champion (doubly robust, 95 % intervals) among users below or above the
mean of a feature, or with and without a category: the segments with the largest differences, without those of which
the log has too little to tell. In a segment whose interval is left of 0 users would earn less."""
    rows = summary["segments"]
    figure = figures.empty_figure("difference", "", 90 + 34 * len(rows))
    labels = [
        f"{figures.escape_for_plotly(row['segment'])}<br>{html_page.percent(row['fraction'])} of the interactions"
        for row in rows
    ]
    add_intervals(figure, "candidate", labels, rows)
    figure.add_vline(0, line_color=figures.GREY, line_dash="dot")
    return figures.section("segments", "Segments", text, figure if rows else None)


def learning(summary: Summary) -> str:
    """The mean reward of every version."""
    text = "Mean reward of each version's decisions while it was served, exploration included, oldest first."
    rows = summary["learning"]
    figure = figures.empty_figure("", "mean reward")
    figure.add_scatter(
        x=[figures.escape_for_plotly(row["version"]) for row in rows],
        y=[row["mean_reward"] for row in rows],
        text=[f"{html_page.number(row['interactions'])} interactions" for row in rows],
        mode="lines+markers",
        line_color=figures.ORANGE,
        hovertemplate="%{x}: %{y:.3f}, %{text}<extra></extra>",
    )
    figure.update_layout(xaxis_type="category")
    return figures.section("learning", "Learning curve", text, figure if rows else None)


def add_intervals(figure: go.Figure, side: str, labels: list[str], rows: list[Summary]) -> None:
    """Add values with horizontal intervals, one row below the other."""
    figure.add_scatter(
        x=[row["value"] for row in rows],
        y=labels,
        name=side,
        mode="markers",
        orientation="h",
        marker={"color": SIDES[side], "size": 8},
        hovertemplate="%{y}: %{text}",
        **figures.error_bars("x", rows),
    )
    figure.update_yaxes(autorange="reversed", type="category", ticklabelstandoff=6)
