"""The evaluation as one HTML page that works offline."""

import html
from pathlib import Path

from rl_core import pages
from rl_core.evaluation import plots
from rl_core.evaluation.figures import Figures

DECIDED = {
    "promote": ("good", "Promote {version} in place of {champion}"),
    "canary": ("unsure", "Try {version} as a canary beside {champion}"),
    "refuse": ("bad", "Refuse {version}: {champion} stays the champion"),
}
PLOTS = (plots.estimates, plots.wealth, plots.weights, plots.actions, plots.segments, plots.learning)
ROUNDING = 1e-6


def write_page(found: Figures, path: Path) -> None:
    """Write the page of an evaluation."""
    verdict, drawn = found["verdict"], "".join(draw(found) for draw in PLOTS)
    body = f'{_decision(verdict)}{_tiles(found)}<div class="columns">{drawn}</div>{_diagnostics(found)}'
    pages.write(path, f"Evaluation of {verdict['version']}", body)


def _decision(verdict: Figures) -> str:
    kind, sentence = DECIDED[verdict["judgement"]]
    names = {key: html.escape(verdict[key]) for key in ("version", "champion")}
    reason = f" — {html.escape(verdict['reason'])}" if verdict["reason"] else ""
    return f'<p id="decision" class="{kind}"><strong>{sentence.format(**names)}</strong>{reason}.</p>'


def _tiles(found: Figures) -> str:
    dr, verdict = found["estimates"]["dr"], found["verdict"]
    values = {f"{side}, doubly robust": dr[side] for side in plots.SIDES} | {"difference": found["difference"]}
    return pages.tiles(
        {name: (pages.number(row["value"]), pages.bounds(row)) for name, row in values.items()}
        | {"the candidate earns more": (pages.odds(verdict["better"]), f"{pages.odds(found['needed'])} needed")}
        | {"held-out interactions": (pages.number(found["interactions"]), f"until {pages.moment(verdict['until'])}")}
    )


def _diagnostics(found: Figures) -> str:
    """Whether the log can tell at all."""
    sides = [found["diagnostics"][side] for side in plots.SIDES]
    rows = [
        ["effective sample size", *(_whole(side["effective_sample_size"]) for side in sides)],
        ["largest weight", *(pages.number(side["largest_weight"]) for side in sides)],
        ["mean weight (1 is right), 95 % interval", *(_mean_weight(side) for side in sides)],
        ["without overlap: weight 0", *(pages.percent(side["without_overlap"]) for side in sides)],
    ]
    facts = [
        ["held-out interactions", found["interactions"]],
        ["left out: logged by an unknown version", found["left_out"]],
        ["rewards clipped to the bounds", found["clipped"]],
        ["all interactions that have a reward", pages.percent(found["coverage"])],
        *([f"logged by {version}", pages.percent(share)] for version, share in found["shares"].items()),
    ]
    tables = pages.table(["of the weights", *plots.SIDES], rows) + pages.table(["of the log", ""], facts)
    return f"<section><h2>Diagnostics</h2>{_alarm(sides)}{tables}</section>"


def _alarm(sides: list[Figures]) -> str:
    words = (
        "1 is outside the interval of a mean weight: logged propensities are wrong, or policies are not what they were."
    )
    return f'<p class="alarm">{words}</p>' if any(map(_is_off, sides)) else ""


def _mean_weight(side: Figures) -> str:
    mean = {"value": side["mean_weight"], "low": side["mean_weight_low"], "high": side["mean_weight_high"]}
    return pages.interval(mean) + (" – not 1" if _is_off(side) else "")


def _is_off(side: Figures) -> bool:
    low, high = side["mean_weight_low"], side["mean_weight_high"]
    return low is not None and high is not None and not low - ROUNDING <= 1 <= high + ROUNDING


def _whole(value: float | None) -> str:
    return pages.number(None if value is None else round(value))
