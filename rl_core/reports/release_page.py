"""The release report as one HTML page that works offline."""

import html
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from banditloop.rl_core.reports import figures, html_page, release_tables

SERVING = {"champion": figures.ORANGE, "canary": figures.BLUE, "shadow": "#8250df"}  # status -> colour
MAX_FEATURES = 15
Report = dict[str, Any]


def write_page(report: Report, path: Path) -> None:
    """Write the page of release_report.report."""
    sections = _reward(report) + (_canary(report["evidence"]) if report["evidence"] else "")
    sections += _features(report["features"]) if report["features"] else ""
    body = f'{_summary(report)}{_tiles(report)}<div class="columns">{sections}</div>{release_tables.tables(report)}'
    html_page.write_html(path, f"The policies of {report['endpoint']}, {html_page.moment(report['at'])} UTC", body)


def _summary(report: Report) -> str:
    """The first paragraph: the serving versions, since when and why, and the alarms."""
    alarms = [alarm["text"] for alarm in report["alarms"]]
    no_alarm = "" if "note" in report else "No drift detected."
    drift = f"Alarm: {'; '.join(alarms)}." if alarms else no_alarm
    serving = [_serving(row, report["verdicts"]) for row in report["versions"] if row["status"] in SERVING]
    sentences = [
        *(serving or ["No version is serving yet."]),
        drift,
        report.get("note", ""),
        *_left_out(report["read"]),
    ]
    text = " ".join(filter(None, sentences))
    return html_page.decision(html.escape(text), "bad" if alarms else "good")


def _left_out(read: Report) -> list[str]:
    """A sentence on what the page rests on, if that is not the whole log."""
    newest = (
        f"Means with intervals, actions, curves and drift rest on the newest {read['interactions']:,} interactions."
    )
    return [] if read["whole"] else [newest]


def _serving(row: Report, verdicts: list[Report]) -> str:
    promotions = [v for v in verdicts if v["version"] == row["version"] and v["decision"] == "promote"]
    text = f"{row['version']}, the {row['status']}, serves {row['traffic_percent']} % of the users"
    if not promotions:
        return f"{text}."
    last = promotions[-1]
    reason = f": {last['reason']}" if last["reason"] else ""
    return f"{text} (promoted {html_page.moment(last['at'])} by {last['by']}{reason})."


def _tiles(report: Report) -> str:
    tiles = {"interactions": (html_page.number(sum(row["interactions"] for row in report["versions"])), "")}
    for row in report["versions"]:
        if row["status"] in SERVING:
            name = f"{row['status']}: mean reward"
            tiles[name] = (html_page.number(row["mean_reward"]), html_page.bounds(row))
    if exploration := report["exploration"]:
        greedy, mean = exploration["greedy_value"], exploration["mean_reward"]
        tiles["champion: greedy value"] = (html_page.number(greedy), html_page.bounds(exploration))
        if greedy is not None and mean is not None:
            tiles["cost of exploration"] = (html_page.number(greedy - mean), "per recommendation")
    return html_page.tiles(tiles)


def _reward(report: Report) -> str:
    bars = "" if "note" in report else "Bars are 95 % confidence sequences, valid at all times simultaneously. "
    text = f"""Mean reward of each version's decisions so far, as the log grew. {bars}Versions that no longer serve are
grey."""
    status = {row["version"]: row["status"] for row in report["versions"]}
    figure = figures.empty_figure("interactions logged", "mean reward", 400)
    for version in dict.fromkeys(period["version"] for period in report["periods"]):
        kind = status.get(version, "")
        rows = [period for period in report["periods"] if period["version"] == version]
        name = f"{kind} {version}" if kind in SERVING else "not serving"
        _add_line(figure, name, SERVING.get(kind, figures.GREY), rows)
    return figures.section("reward", "Reward of the versions", text, figure if report["periods"] else None)


def _add_line(figure: go.Figure, name: str, colour: str, rows: list[Report]) -> None:
    first = name not in {trace.legendgroup for trace in figure.data}
    labels = [f"{figures.escape_for_plotly(row['version'])}, {html_page.moment(row['until'])}" for row in rows]
    figure.add_scatter(
        x=[row["interactions"] for row in rows],
        y=[row["mean_reward"] for row in rows],
        name=figures.escape_for_plotly(name),
        legendgroup=name,
        showlegend=first,
        mode="lines+markers",
        marker={"color": colour, "size": 5},
        line_color=colour,
        customdata=labels,
        hovertemplate="%{customdata}: %{text}<extra></extra>",
        **figures.error_bars("y", rows, "mean_reward"),
    )


def _canary(evidence: Report) -> str:
    champion, challenger = html.escape(evidence["champion"]), html.escape(evidence["challenger"])
    odds = {key: html_page.odds(evidence[key]) for key in ("better", "needed", "worse", "needed_worse")}
    text = f"""{challenger} serves {evidence["traffic_percent"]} % of the users, {champion} the others. The test starts
with a wealth of 1 and bets on every {evidence["unit"]} that the challengers of {champion} earn more. If none does, the
probability that the odds ever reach the {odds["needed"]} needed for promotion is small, however often they are checked.
The odds are {odds["better"]}. The odds that {challenger} earns less are {odds["worse"]}; it is rolled back at
{odds["needed_worse"]}."""
    checks = list(range(1, len(evidence["wealth"]) + 1))
    names = [f"check {check}" for check in checks]
    figure = figures.wealth_figure("checks", checks, evidence["wealth"], names, evidence["needed"])
    return figures.section("evidence", "Evidence that the challenger earns more", text, figure)


def _features(features: list[Report]) -> str:
    text = f"""Means of the observations' features in the champion's training and since: at most {MAX_FEATURES}, the
smallest p-values first (Kolmogorov-Smirnov tests, corrected for the number of features)."""
    rows = sorted(features, key=lambda row: row["p_value"])[:MAX_FEATURES]
    labels = [f"{figures.escape_for_plotly(row['feature'])}, p {row['p_value']:.2g}" for row in rows]
    figure = figures.empty_figure("mean", "", 90 + 28 * len(rows))
    x = [value for row in rows for value in (row["training_mean"], row["recent_mean"], None)]
    y = [value for label in labels for value in (label, label, None)]
    figure.add_scatter(x=x, y=y, mode="lines", line_color=figures.GREY, hoverinfo="skip", showlegend=False)
    series = ("training_mean", "in training", figures.GREY), ("recent_mean", "since", figures.BLUE)
    for key, name, colour in series:
        values = [row[key] for row in rows]
        figure.add_scatter(x=values, y=labels, name=name, mode="markers", marker={"color": colour, "size": 9})
    figure.update_yaxes(autorange="reversed", type="category")
    return figures.section("features", "Drift of the observations", text, figure)
