"""The evaluation of a candidate on episodes as HTML: returns raw and relative to the logged ones, weights, the log."""

import html

from banditloop.rl_core.estimators.episodes.diagnostics import LEAST_SIZES
from banditloop.rl_core.evaluation.episodes.summary import REWARD, headlines
from banditloop.rl_core.evaluation.summary import Summary
from banditloop.rl_core.reports import evaluation_plots as plots
from banditloop.rl_core.reports import figures, html_page

LABELS = {
    "weighted_dr": "weighted doubly robust",
    "fqe": "FQE, the direct method",
    "magic": "MAGIC",
    "sequential_dr": "sequential doubly robust",
    "per_decision_weighted_is": "per-decision weighted IS",
    "weighted_is": "weighted IS",
    "per_decision_is": "per-decision IS",
}
DIAGNOSTICS = {
    "effective_episodes": "effective sample size, in episodes",
    "steps_with_support": "steps up to which the weights support estimates",
    "largest_share": "largest share of one episode in the weights",
    "without_overlap": "episodes of weight 0",
    "mean_length": "steps of an episode, on average",
    "longest": "steps of the longest episode",
}
SIDES = {"candidate": "estimates", "champion": "baseline_estimates"}
SHARES = {"largest_share", "without_overlap"}


def episode_content(summary: Summary) -> str:
    """Tiles, plots and tables."""
    sections = "".join(section(summary) for section in (_returns, plots.wealth, plots.learning))
    of_rewards = "".join(_of_reward(name, row) for name, row in summary["returns"].items())
    return f'{_tiles(summary)}<div class="columns">{sections}</div>{of_rewards}{_diagnostics(summary)}'


def _tiles(summary: Summary) -> str:
    """The key figures: returns by the primary estimator, their difference, the evidence and what it is from."""
    verdict, rows = summary["verdict"], headlines(summary, summary["returns"][REWARD])
    estimator = LABELS[summary["primary"]]
    names = {"candidate_dr": f"candidate, {estimator}", "champion_dr": f"champion, {estimator}"}
    values = {names.get(key, key): (html_page.number(row["value"]), html_page.bounds(row)) for key, row in rows.items()}
    needed, until = html_page.odds(summary["needed"]), html_page.moment(verdict["until"])
    return html_page.tiles(
        values
        | {"the candidate earns more": (html_page.odds(verdict["better"]), f"{needed} needed")}
        | {"held-out episodes": (html_page.number(summary["episodes"]), f"until {until}")}
    )


def _returns(summary: Summary) -> str:
    """Every estimator's mean return of both policies, with intervals."""
    text = """Mean discounted sum of an episode's rewards that each policy would have earned, by estimator, with 95 %
intervals over episodes. The dotted line is the mean return of the logged policy. Look at weighted DR first: it corrects
a model of values by the logged episodes, weighted by how likely each policy is to act as they did. FQE is that model
alone: it has no interval, since none would contain the model's bias, and neither has MAGIC. Where weighted DR and FQE
differ much, or the effective sample size is small, only a canary can tell."""
    rows = summary["returns"][REWARD]
    labels = {name: LABELS[name] for name in rows["estimates"]}
    figure = figures.empty_figure("mean return", "", 110 + 34 * len(labels))
    for side, key in SIDES.items():
        if estimates := rows[key]:
            plots.add_intervals(figure, side, list(labels.values()), [estimates[name] for name in labels])
    if labels:
        figure.add_vline(rows["logged"]["value"], line_color=figures.GREY, line_dash="dot")
    figure.update_layout(scattermode="group", scattergap=0.5)
    return figures.section("returns", "Counterfactual returns", text, figure if labels else None)


def _of_reward(reward: str, row: Summary) -> str:
    text = f"""The logged policy's mean return: {html_page.interval(row["logged"])}. Relative values are divided by
it (in ReAgent: normalized). Candidate less champion: {html_page.interval(row["difference"])}."""
    header = ["estimator"]
    sides = {side: row[key] for side, key in SIDES.items() if row[key]}
    for side in sides:
        header += [side, f"{side}, relative"]
    body = [
        [LABELS[name], *(cell for side in sides.values() for cell in _cells(name, side[name]))]
        for name in row["estimates"]
    ]
    title = "Estimates of the reward" if reward == REWARD else f"Estimates of the metric {html.escape(reward)}"
    return f"<section><h2>{title}</h2><p>{text}</p>{html_page.table(header, body) if body else ''}</section>"


def _cells(name: str, row: Summary) -> list[str]:
    """An estimate with its interval, if its estimator has one, raw and relative to the logged policy."""
    relative = {key: row[f"relative_{key}"] for key in ("value", "low", "high")}
    shown = html_page.interval if name in LEAST_SIZES else lambda numbers: html_page.number(numbers["value"])
    return [shown(row), shown(relative)]


def _diagnostics(summary: Summary) -> str:
    """Whether the log supports the estimates: warnings, weights by side, and which episodes were left out."""
    sides = summary["diagnostics"]
    weights = [[label, *(diagnostic(key, side[key]) for side in sides.values())] for key, label in DIAGNOSTICS.items()]
    log = [
        ["held-out episodes", summary["episodes"]],
        ["their decisions", summary["interactions"]],
        *([f"left out: {reason}", count] for reason, count in summary["left_out"].items()),
        ["all decisions that have a reward", html_page.percent(summary["coverage"])],
        *([f"answered by {version}", html_page.percent(part)] for version, part in summary["logging_mix"].items()),
    ]
    alarms = "".join(f'<p class="alarm">{html.escape(text)}.</p>' for text in summary["warnings"])
    of_weights = html_page.table(["weights", *sides], weights) if sides else ""
    return f"<section><h2>Diagnostics</h2>{alarms}{of_weights}{html_page.table(['log', ''], log)}</section>"


def diagnostic(key: str, value: float | None) -> str:
    """A number of the diagnostics."""
    return html_page.percent(value) if key in SHARES else html_page.number(value)
