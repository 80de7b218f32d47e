"""The evaluation of logged episodes as text, at most 80 columns wide."""

import textwrap
from typing import Any

from banditloop.rl_core.estimators.episodes.diagnostics import LEAST_SIZES
from banditloop.rl_core.estimators.log_table import WIDTH, bounds, finding, line, number, reading_of_files


def table(summary: dict[str, Any]) -> str:
    """The estimates and the difference, for the reward and every metric; diagnostics and warnings."""
    episodes, rows = f"{summary['episodes']:,} episodes", f"{summary['interactions']:,} interactions"
    lines = [*textwrap.wrap(summary.get("policy", ""), WIDTH), f"{episodes}, {rows}, discount {summary['discount']:g}"]
    for name, returns in summary["returns"].items():
        lines += ["", *_of_reward(name, returns, summary)]
    return "\n".join([*lines, "", *_diagnostics(summary), *reading_of_files(summary)])


def _of_reward(name: str, returns: dict[str, Any], summary: dict[str, Any]) -> list[str]:
    title = "return of the policy" if name == "reward" else f"return, metric {name}"
    lines = [line(title, "value", "error", f"{'× log':>7}  {summary['level']:.0%} interval")]
    for heading, key in (("", "estimates"), ("of the baseline", "baseline_estimates")):
        lines += [heading] * bool(heading and returns[key])
        lines += [
            line(f"  {estimator}", *_cells(row, estimator in LEAST_SIZES)) for estimator, row in returns[key].items()
        ]
    lines.append(line("of the log", *_cells(returns["logged"])))
    lines.append(line(f"difference to {summary['baseline']}", *_cells(returns["difference"])))
    return [*lines, finding(summary | returns)]


def _cells(row: dict[str, Any], has_interval: bool = True) -> tuple[str, str, str]:
    """Value, standard error, value relative to the log, and the interval of an estimator that has one."""
    relative = f"{number(row['relative_value']) if 'relative_value' in row else '':>7}"
    return number(row["value"]), number(row["standard_error"]), f"{relative}  {bounds(row) if has_interval else ''}"


def _diagnostics(summary: dict[str, Any]) -> list[str]:
    diagnostics = summary["diagnostics"]
    lines = [
        f"effective episodes {diagnostics['effective_episodes']:,.1f}, "
        f"largest share {diagnostics['largest_share']:.1%}, weight 0: {diagnostics['without_overlap']:.1%}",
        f"steps of an episode: {diagnostics['mean_length']:.1f} on average, at most {diagnostics['longest']:,}",
    ]
    for text in summary["warnings"]:
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    return lines
