"""The evaluation of a candidate as one HTML page that works offline."""

import html
from pathlib import Path

from banditloop.rl_core.evaluation.summary import Summary
from banditloop.rl_core.reports import evaluation_plots as plots
from banditloop.rl_core.reports import html_page

DECISIONS = {
    "promote": ("good", "Promote {version} to champion in place of {champion}"),
    "canary": ("unsure", "Deploy {version} as a canary beside {champion}"),
    "refuse": ("bad", "Refuse {version}: {champion} stays the champion"),
}
SECTIONS = (plots.estimates, plots.wealth, plots.weights, plots.actions, plots.segments, plots.learning)
TOLERANCE = 1e-6  # of a mean weight: rounding is no alarm


def write_page(summary: Summary, path: Path) -> None:
    """Write the page of an evaluation summary."""
    verdict, sections = summary["verdict"], "".join(section(summary) for section in SECTIONS)
    body = f'{_decision(verdict)}{_tiles(summary)}<div class="columns">{sections}</div>{_diagnostics(summary)}'
    html_page.write_html(path, f"Evaluation of {verdict['version']}", body)


def _decision(verdict: Summary) -> str:
    kind, sentence = DECISIONS[verdict["decision"]]
    names = {key: html.escape(verdict[key]) for key in ("version", "champion")}
    reason = f" — {html.escape(verdict['reason'])}" if verdict["reason"] else ""
    return html_page.decision(f"<strong>{sentence.format(**names)}</strong>{reason}.", kind)


def _tiles(summary: Summary) -> str:
    dr, verdict = summary["estimates"]["dr"], summary["verdict"]
    values = {f"{side}, doubly robust": dr[side] for side in plots.SIDES} | {"difference": summary["difference"]}
    needed, until = html_page.odds(summary["needed"]), html_page.moment(verdict["until"])
    return html_page.tiles(
        {name: (html_page.number(row["value"]), html_page.bounds(row)) for name, row in values.items()}
        | {"the candidate earns more": (html_page.odds(verdict["better"]), f"{needed} needed")}
        | {"held-out interactions": (html_page.number(summary["interactions"]), f"until {until}")}
    )


def _diagnostics(summary: Summary) -> str:
    """Whether the log supports reliable estimates: overlap, weights and coverage."""
    sides = [summary["diagnostics"][side] for side in plots.SIDES]
    weights = [
        ["effective sample size", *(_rounded(side["effective_sample_size"]) for side in sides)],
        ["largest weight", *(html_page.number(side["largest_weight"]) for side in sides)],
        ["mean weight (expected: 1), 95 % interval", *(_mean_weight(side) for side in sides)],
        ["without overlap: weight 0", *(html_page.percent(side["without_overlap"]) for side in sides)],
    ]
    log = [
        ["held-out interactions", summary["interactions"]],
        ["excluded: logged by an unknown version", summary["unknown_version_rows"]],
        ["rewards clipped to the bounds", summary["clipped"]],
        ["all interactions that have a reward", html_page.percent(summary["coverage"])],
        ["decisions left out, since they have no reward", f"{summary['ignored']:,}"],
        *(
            [f"logged by {version}", html_page.percent(fraction)]
            for version, fraction in summary["logging_mix"].items()
        ),
    ]
    tables = html_page.table(["weights", *plots.SIDES], weights) + html_page.table(["log", ""], log)
    return f"<section><h2>Diagnostics</h2>{_alarm(sides)}{tables}</section>"


def _alarm(sides: list[Summary]) -> str:
    text = (
        "1 is outside the interval of a mean weight: logged propensities are wrong, or a policy has changed since it "
        "logged them."
    )
    return f'<p class="alarm">{text}</p>' if any(map(_is_off, sides)) else ""


def _mean_weight(side: Summary) -> str:
    mean = {"value": side["mean_weight"], "low": side["mean_weight_low"], "high": side["mean_weight_high"]}
    return html_page.interval(mean) + (" – not 1" if _is_off(side) else "")


def _is_off(side: Summary) -> bool:
    low, high = side["mean_weight_low"], side["mean_weight_high"]
    return low is not None and high is not None and not low - TOLERANCE <= 1 <= high + TOLERANCE


def _rounded(value: float | None) -> str:
    return html_page.number(None if value is None else round(value))
