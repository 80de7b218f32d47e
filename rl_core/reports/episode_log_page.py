"""The evaluation of a policy on any log of episodes as one HTML page that works offline."""

import html
from pathlib import Path
from typing import Any

from banditloop.rl_core.reports import figures, html_page
from banditloop.rl_core.reports.episode_evaluation import DIAGNOSTICS, LABELS, diagnostic
from banditloop.rl_core.reports.log_page import intervals, outcome, reading_of_files


def write_page(summary: dict[str, Any], path: Path, shared: Path | None = None) -> None:
    """Write the page of a summary of `evaluate_episodes`, with plotly in the folder `shared` or, if None, inlined."""
    head = outcome(summary | summary["returns"]["reward"]) + _warnings(summary) + _tiles(summary)
    returns = "".join(_returns(name, summary) for name in summary["returns"])
    body = f'{head}<div class="columns">{returns}</div>{_diagnostics(summary)}'
    html_page.write_html(path, f"Evaluation: {summary.get('policy', 'a policy')}", body, shared)


def _warnings(summary: dict[str, Any]) -> str:
    return "".join(f'<section><p class="alarm">{html.escape(text)}.</p></section>' for text in summary["warnings"])


def _tiles(summary: dict[str, Any]) -> str:
    returns, name = summary["returns"]["reward"], summary["primary"]
    best, difference = returns["estimates"][name], returns["difference"]
    size = summary["diagnostics"]["effective_episodes"]
    return html_page.tiles(
        {
            f"mean return, {LABELS[name]}": (html_page.number(best["value"]), html_page.bounds(best)),
            f"difference to {summary['baseline']}": (
                html_page.number(difference["value"]),
                html_page.bounds(difference),
            ),
            "episodes": (html_page.number(summary["episodes"]), f"worth {html_page.number(round(size))}"),
        }
    )


def _returns(name: str, summary: dict[str, Any]) -> str:
    """The estimates of one reward: a plot, and what they are relative to the log."""
    returns = summary["returns"][name]
    title = "Counterfactual returns" if name == "reward" else f"Metric {html.escape(name)}"
    relative = (f"{LABELS[key]} {html_page.number(row['relative_value'])}" for key, row in returns["estimates"].items())
    text = f"""Mean sum of an episode's rewards, discounted by {summary["discount"]:g} a step, that the policy would
have had, by estimator, with intervals of {summary["level"]:.0%} where these keep their level. The log had
{html_page.interval(returns["logged"])}. Relative to it: {", ".join(relative)}."""
    rows = {LABELS[key]: row for key, row in returns["estimates"].items()}
    return figures.section(f"returns-{name}", title, text, intervals("mean return", rows))


def _diagnostics(summary: dict[str, Any]) -> str:
    """Whether the log supports the estimates."""
    rows = [
        *([label, diagnostic(key, summary["diagnostics"][key])] for key, label in DIAGNOSTICS.items()),
        *reading_of_files(summary),
    ]
    return f"<section><h2>Diagnostics</h2>{html_page.table(['log', ''], rows)}</section>"
