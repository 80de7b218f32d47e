"""The tables at the foot of the page of the release report: returns, actions, versions, retrainings, verdicts."""

from typing import Any

from banditloop.rl_core.reports import html_page
from banditloop.rl_core.reports.versions import DATES

USED = {  # headers of the time and memory that a retraining took
    "seconds": "seconds",
    "rows_per_second": "rows per second",
    "cpu_seconds": "CPU seconds",
    "peak_memory_mb": "peak memory, MB",
}
Report = dict[str, Any]


def tables(report: Report) -> str:
    """The tables as HTML; of returns only if the report has them."""
    returns = _returns(report["returns"]) if "returns" in report else ""
    parts = _actions(report["actions"]), _versions(report), _retrainings(report["retrainings"]), _verdicts(report)
    return returns + "".join(parts)


def _returns(rows: list[Report]) -> str:
    text = """Complete episodes by the version that answered them: the mean of their discounted sums of rewards, with a
95 % confidence sequence, valid at all times simultaneously."""
    cells = [[row["version"], row["episodes"], html_page.interval(row, "mean_return")] for row in rows]
    table = html_page.table(("version", "episodes", "mean return"), cells)
    return f"<section><h2>Returns of episodes</h2><p>{text}</p>{table}</section>"


def _actions(actions: list[Report]) -> str:
    text = """The interactions by action: how often it was chosen, its mean reward, of single decisions with a 95 %
confidence sequence, and the share of these choices that was exploration, drawn uniformly and not preferred."""
    rows = [
        [
            row["action"],
            row["chosen"],
            html_page.percent(row["share"]),
            html_page.interval(row, "mean_reward"),
            html_page.percent(row["explored"]),
        ]
        for row in actions
    ]
    header = "action", "chosen", "share", "mean reward", "exploration"
    return f"<section><h2>Actions</h2><p>{text}</p>{html_page.table(header, rows)}</section>"


def _versions(report: Report) -> str:
    text = """In UTC: when each version was made, right before it was judged, and when it became the champion."""
    header = (
        "version",
        "status",
        "traffic %",
        *DATES,
        "interactions",
        "mean reward",
        "learned from",
        "shadowed",
        "decision",
    )
    rows = [
        [
            *(row[key] for key in ("version", "status", "traffic_percent")),
            *(html_page.moment(row[key]) for key in DATES),
            row["interactions"],
            html_page.interval(row, "mean_reward"),
            *(row[key] for key in ("learned_from", "shadowed", "decision")),
        ]
        for row in report["versions"]
    ]
    table = html_page.table(header, rows, text=("status", *DATES, "decision"))
    return f"<section><h2>Versions</h2><p>{text}</p>{table}</section>"


def _retrainings(retrainings: list[Report]) -> str:
    text = """What the newest runs that made a version took, from their start to their end: the interactions that each
added, the CPU time of its tasks, and the most memory that one of them had."""
    rows = [
        [row["run"], row["version"], row["rows"], *(_tenths(row[key]) for key in USED)] for row in reversed(retrainings)
    ]
    table = html_page.table(("run", "version", "rows", *USED.values()), rows, text=("version",))
    return f"<section><h2>Retrainings, newest first</h2><p>{text}</p>{table}</section>"


def _tenths(value: float | None) -> str:
    return html_page.number(value) if value is None else f"{value:,.1f}"


def _verdicts(report: Report) -> str:
    header = "at", "version", "champion", "decision", "by", "reason", "run"
    rows = [
        [html_page.moment(verdict["at"]), *(verdict[key] for key in header[1:])]
        for verdict in reversed(report["verdicts"])
    ]
    return f"<section><h2>Verdicts, newest first</h2>{html_page.table(header, rows, text=header)}</section>"
