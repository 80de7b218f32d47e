"""The evaluation of a log as text, at most 80 columns wide."""

import textwrap
from collections.abc import Mapping
from typing import Any

from banditloop.rl_core.estimators.value_interval import TOO_LITTLE

UNVARIED = "nothing varies here"  # in place of a number of interactions, which would be 0
WIDTH, NAME = 80, 30  # columns of a line, and of a row's name


def table(summary: dict[str, Any]) -> str:
    """Estimates, the difference, diagnostics, segments, and the number of interactions that detect a difference."""
    level = f"{summary['level']:.0%}"
    rows, mean = f"{summary['interactions']:,} interactions", number(summary["mean_reward"])
    lines = [*textwrap.wrap(summary.get("policy", ""), WIDTH), f"{rows}, mean reward {mean}", ""]
    lines += [line("mean reward of the policy", "value", "error", f"{level} interval")]
    for title, key in (("", "estimates"), ("of the baseline", "baseline_estimates")):
        lines += [title] * bool(title and summary[key])
        for name, row in summary[key].items():
            lines.append(line(f"  {name}", number(row["value"]), number(row["standard_error"]), bounds(row)))
    lines += [
        line(
            f"difference to {summary['baseline']}",
            number(summary["difference"]["value"]),
            "",
            bounds(summary["difference"]),
        )
    ]
    lines += ["", finding(summary), *_diagnostics(summary), *reading_of_files(summary)]
    lines += _segments(summary) + _detect(summary)
    return "\n".join(lines)


def finding(summary: dict[str, Any]) -> str:
    """What the interval of the difference says, as a sentence."""
    low, high, other = summary["difference"]["low"], summary["difference"]["high"], summary["baseline"]
    if low is None or low <= 0 <= high:
        return f"The log cannot tell whether the policy earns more or less than {other}."
    return f"The policy earns {'more' if low > 0 else 'less'} than {other}."


def _diagnostics(summary: dict[str, Any]) -> list[str]:
    weights, audit = summary["diagnostics"], summary["audit"]
    size, largest = f"{weights['effective_sample_size']:,.0f}", number(weights["largest_weight"])
    lines = [
        f"effective sample size {size}, largest weight {largest}, weight 0: {weights['without_overlap']:.1%}",
        f"mean weight {weights['mean_weight']:.3f} ± {number(weights['mean_weight_error'])} (expected: 1)",
    ]
    if weights["alarm"]:
        lines.append("  Weights do not average 1: propensities are wrong, or actions have none.")
    if audit is None:
        lines.append("propensity audit: needs the probabilities of all actions")
    else:
        lines.append("propensity audit: passes" if audit["passes"] else "propensity audit: FAILS. Do not rely on this.")
    return lines


def listed_columns(columns: Mapping[str, str]) -> str:
    """The columns that were read as fields of another name, in a sentence; empty without any."""
    listed = ", ".join(f"{column} as {field}" for field, column in columns.items() if column != field)
    return f"columns: {listed}" if listed else ""


def reading_of_files(summary: dict[str, Any]) -> list[str]:
    """Lines on the columns that were read as fields of another name, and on what was left out."""
    lines = textwrap.wrap(listed_columns(summary.get("columns", {})), WIDTH, subsequent_indent="  ")
    lines += [f"left out: {count:,} {reason}" for reason, count in summary.get("left_out", {}).items()]
    if absent := summary.get("features_without_column"):
        listed = f"the policy's features without a column, taken as missing: {', '.join(absent)}"
        lines += textwrap.wrap(listed, WIDTH, subsequent_indent="  ")
    return lines


def _segments(summary: dict[str, Any]) -> list[str]:
    if not summary["segments"]:
        return []
    lines = ["", line("segment", "share", "more", f"{summary['level']:.0%} interval")]
    for row in summary["segments"]:
        interval = bounds({"low": row["difference_low"], "high": row["difference_high"]})
        lines.append(line(f"  {row['segment']}", f"{row['fraction']:.1%}", number(row["difference"]), interval))
    return lines


def _detect(summary: dict[str, Any]) -> list[str]:
    if (detect := summary["detect"]) is None:
        return []
    if detect["interactions"] is None:
        return ["", f"no number of interactions that detect a difference of {detect['difference']:g}: {UNVARIED}"]
    return [
        "",
        f"{detect['interactions']:,} interactions detect a difference of {detect['difference']:g} "
        f"with a power of {detect['power']:.0%}",
    ]


def line(name: str, *cells: str) -> str:
    """A row of the table: its name, two numbers, and what follows them."""
    short = name if len(name) <= NAME else f"{name[: NAME - 1]}…"
    first, second, *rest = cells
    return f"{short:<{NAME}}{first:>10}{second:>10}  {' '.join(rest)}".rstrip()


def number(value: float | None) -> str:
    """A number with three digits; a dash for none."""
    return "–" if value is None else f"{value:.3g}"


def bounds(row: dict[str, Any]) -> str:
    """An interval, or that there is too little to tell."""
    return TOO_LITTLE if row["low"] is None else f"[{number(row['low'])}, {number(row['high'])}]"
