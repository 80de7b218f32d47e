"""The report on what is served as one HTML page that works offline."""

import html
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from rl_core import pages

COLOURS = {"champion": pages.ORANGE, "canary": pages.BLUE, "shadow": "#8250df"}
SHOWN = 15
COUNTS = "interactions", "rewarded", "shadowed"
Report = dict[str, Any]


def write_report(report: Report, path: Path) -> None:
    """Write the page of a report."""
    drawn = _reward(report) + (_contest(report["contest"]) if report["contest"] else "")
    drawn += _features(report["features"]) if report["features"] else ""
    body = (
        f'{_decision(report)}{_tiles(report)}<div class="columns">{drawn}</div>{_versions(report)}{_verdicts(report)}'
    )
    pages.write(path, f"The policies of {report['endpoint']}, {pages.moment(report['at'])} UTC", body)


def _decision(report: Report) -> str:
    """Who answers, since when and why, and whether anything has drifted."""
    alarms = [alarm["text"] for alarm in report["alarms"]]
    drift = f"Alarm: {'; '.join(alarms)}." if alarms else "Nothing has drifted."
    serving = [_serving(version, report["verdicts"]) for version in report["versions"] if version["role"]]
    words = html.escape(" ".join([*serving, drift] if serving else ["Nobody answers yet.", drift]))
    return f'<p id="decision" class="{"bad" if alarms else "good"}">{words}</p>'


def _serving(version: Report, verdicts: list[Report]) -> str:
    promotions = [v for v in verdicts if v["version"] == version["version"] and v["judgement"] == "promote"]
    answers = f"{version['version']}, the {version['role']}, answers {version['traffic']} % of the users"
    if not promotions:
        return f"{answers}."
    last = promotions[-1]
    reason = f": {last['reason']}" if last["reason"] else ""
    return f"{answers} (promoted {pages.moment(last['at'])} by {last['by']}{reason})."


def _tiles(report: Report) -> str:
    tiles = {"interactions": (pages.number(sum(v["interactions"] for v in report["versions"])), "")}
    for version in report["versions"]:
        if version["role"]:
            name = f"{version['role']}: mean reward"
            tiles[name] = (pages.number(version["mean_reward"]), pages.bounds(version))
    if cost := report["exploration"]:
        tiles["champion: best guesses alone"] = (pages.number(cost["greedy"]), pages.bounds(cost))
        if cost["greedy"] is not None and cost["served"] is not None:
            tiles["cost of exploration"] = (pages.number(cost["greedy"] - cost["served"]), "a recommendation")
    return pages.tiles(tiles)


def _reward(report: Report) -> str:
    words = """Mean reward that each version has earned so far, while the log grew. Bars are 95 % confidence sequences:
they hold at every moment at once, however often one looks. Versions that no longer serve are grey."""
    roles = {version["version"]: version["role"] for version in report["versions"]}
    figure = pages.chart("interactions logged", "mean reward", 400)
    for version in dict.fromkeys(period["version"] for period in report["periods"]):
        role = roles.get(version, "")
        rows = [period for period in report["periods"] if period["version"] == version]
        _line(figure, f"{role} {version}" if role else "former", COLOURS.get(role, pages.GREY), rows)
    return pages.section("reward", "Reward of the versions", words, figure if report["periods"] else None)


def _line(figure: go.Figure, name: str, colour: str, rows: list[Report]) -> None:
    first = name not in {trace.legendgroup for trace in figure.data}
    figure.add_scatter(
        x=[row["interactions"] for row in rows],
        y=[row["mean_reward"] for row in rows],
        name=pages.plain(name),
        legendgroup=name,
        showlegend=first,
        mode="lines+markers",
        marker={"color": colour, "size": 5},
        line_color=colour,
        customdata=[f"{pages.plain(row['version'])}, {pages.moment(row['until'])}" for row in rows],
        hovertemplate="%{customdata}: %{text}<extra></extra>",
        **pages.whiskers("y", rows, "mean_reward"),
    )


def _contest(contest: Report) -> str:
    champion, challenger = html.escape(contest["champion"]), html.escape(contest["challenger"])
    odds = {key: pages.odds(contest[key]) for key in ("better", "needed", "worse", "needed_worse")}
    words = f"""{challenger} has {contest["share"]} % of the users; {champion} has the others. A gambler who starts
with 1 and bets on every interaction that the challengers of {champion} earn more would, if none did, hardly ever reach
the odds of {odds["needed"]} that promote, however often one looks. The bet stands at {odds["better"]}; a bet that
{challenger} earns less stands at {odds["worse"]}, and {odds["needed_worse"]} roll it back."""
    looks = list(range(1, len(contest["wealth"]) + 1))
    names = [f"look {look}" for look in looks]
    figure = pages.wealth("looks", looks, contest["wealth"], names, contest["needed"])
    return pages.section("contest", "Evidence that the challenger earns more", words, figure)


def _features(features: list[Report]) -> str:
    words = f"""Means of the observations' features, when the champion was trained and since: at most {SHOWN}, those
first that have changed most surely. p is that of a Kolmogorov-Smirnov test, corrected for the number of features."""
    rows = sorted(features, key=lambda row: row["p"])[:SHOWN]
    labels = [f"feature {row['feature']}, p {row['p']:.2g}" for row in rows]
    figure = pages.chart("mean", "", 90 + 28 * len(rows))
    between = [value for row in rows for value in (row["then"], row["now"], None)]
    places = [place for label in labels for place in (label, label, None)]
    figure.add_scatter(x=between, y=places, mode="lines", line_color=pages.GREY, hoverinfo="skip", showlegend=False)
    for key, name, colour in (("then", "in training", pages.GREY), ("now", "since", pages.BLUE)):
        values = [row[key] for row in rows]
        figure.add_scatter(x=values, y=labels, name=name, mode="markers", marker={"color": colour, "size": 9})
    figure.update_yaxes(autorange="reversed", type="category")
    return pages.section("features", "Drift of the observations", words, figure)


def _versions(report: Report) -> str:
    header = "version", "role", "traffic, %", "mean reward", "learned from", *COUNTS, "verdict", "reason"
    first, last = ("version", "role", "traffic"), ("learned_from", *COUNTS, "judgement", "reason")
    rows = [
        [*(row[key] for key in first), pages.interval(row, "mean_reward"), *(row[key] for key in last)]
        for row in report["versions"]
    ]
    table = pages.table(header, rows, text=("role", "verdict", "reason"))
    return f"<section><h2>Versions</h2>{table}</section>"


def _verdicts(report: Report) -> str:
    keys = "at", "version", "champion", "judgement", "by", "reason", "run"
    rows = [
        [pages.moment(verdict["at"]), *(verdict[key] for key in keys[1:])] for verdict in reversed(report["verdicts"])
    ]
    header = "at", "version", "beside", "verdict", "by", "reason", "run"
    table = pages.table(header, rows, text=header)
    return f"<section><h2>Verdicts, newest first</h2>{table}</section>"
