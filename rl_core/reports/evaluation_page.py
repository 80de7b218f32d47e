"""The evaluation of a candidate as one HTML page that works offline."""

import html
import json
from pathlib import Path

from banditloop.rl_core.evaluation.episodes.summary import episode_metrics, is_of_episodes
from banditloop.rl_core.evaluation.summary import Summary, kfp_metrics
from banditloop.rl_core.reports import evaluation_plots as plots
from banditloop.rl_core.reports import html_page
from banditloop.rl_core.reports.episode_evaluation import episode_content

DECISIONS = {
    "promote": ("good", "Promote {version} to champion in place of {champion}"),
    "canary": ("unsure", "Deploy {version} as a canary beside {champion}"),
    "refuse": ("bad", "Refuse {version}: {champion} stays the champion"),
}
SECTIONS = (plots.estimates, plots.wealth, plots.weights, plots.actions, plots.segments, plots.learning)


def write_evaluation(summary: Summary, evaluation: Path, report: Path, shared: Path | None = None) -> dict[str, float]:
    """Write an evaluation summary as JSON and as a page; return the metrics that platforms show."""
    evaluation.write_text(json.dumps(summary, indent=2))
    write_page(summary, report, shared)
    return episode_metrics(summary) if is_of_episodes(summary) else kfp_metrics(summary)


def write_page(summary: Summary, path: Path, shared: Path | None = None) -> None:
    """Write the page of an evaluation summary, with its plotly in the folder `shared` or, if None, in the page."""
    verdict, content = summary["verdict"], episode_content if is_of_episodes(summary) else _content
    body = _decision(verdict) + content(summary)
    html_page.write_html(path, f"Evaluation of {verdict['version']}", body, shared)


def _content(summary: Summary) -> str:
    """Tiles, plots and tables of an evaluation on interactions."""
    sections, tables = "".join(section(summary) for section in SECTIONS), _actions(summary) + _diagnostics(summary)
    return f'{_tiles(summary)}<div class="columns">{sections}</div>{tables}'


def _decision(verdict: Summary) -> str:
    kind, sentence = DECISIONS[verdict["decision"]]
    names = {key: html.escape(verdict[key]) for key in ("version", "champion")}
    reason = f" — {html.escape(verdict['reason'])}" if verdict["reason"] else ""
    judged = f"Judged {html_page.moment(verdict['at'])}."
    return html_page.decision(f"<strong>{sentence.format(**names)}</strong>{reason}. {judged}", kind)


def _tiles(summary: Summary) -> str:
    dr, verdict = summary["estimates"]["dr"], summary["verdict"]
    values = {f"{side}, doubly robust": dr[side] for side in plots.SIDES} | {"difference": summary["difference"]}
    needed, until = html_page.odds(summary["needed"]), html_page.moment(verdict["until"])
    return html_page.tiles(
        {name: (html_page.number(row["value"]), html_page.bounds(row)) for name, row in values.items()}
        | {"the candidate earns more": (html_page.odds(verdict["better"]), f"{needed} needed")}
        | {"held-out interactions": (html_page.number(summary["interactions"]), f"until {until}")}
    )


def _actions(summary: Summary) -> str:
    """The actions with what they earned."""
    text = """How often each action was logged, and how often each policy would take it; the mean reward of the
interactions in which it was logged, with a 95 % interval. It is that of the users for whom the action was chosen:
another policy may earn less or more with it."""
    header = "action", "interactions", "logged", *plots.SIDES, "mean reward"
    rows = [
        [
            row["action"],
            row["interactions"],
            *(html_page.percent(row[key]) for key in ("logged", *plots.SIDES)),
            html_page.interval(row),
        ]
        for row in summary["by_action"]
    ]
    return f"<section><h2>Rewards by action</h2><p>{text}</p>{html_page.table(header, rows)}</section>" if rows else ""


def _diagnostics(summary: Summary) -> str:
    """Whether the log supports reliable estimates: overlap, weights and coverage."""
    sides = [summary["diagnostics"][side] for side in plots.SIDES]
    weights = [
        ["effective sample size", *(_rounded(side["effective_sample_size"]) for side in sides)],
        ["largest weight", *(html_page.number(side["largest_weight"]) for side in sides)],
        ["mean weight (expected: 1)", *(html_page.number(side["mean_weight"]) for side in sides)],
        ["without overlap: weight 0", *(html_page.percent(side["without_overlap"]) for side in sides)],
    ]
    log = [
        ["held-out interactions", summary["interactions"]],
        ["excluded: logged by an unknown version", summary["unknown_version_rows"]],
        ["left out: inconsistent, or with a reward outside the task's range", summary["left_out"]],
        ["all interactions that have a reward", html_page.percent(summary["coverage"])],
        ["decisions left out, since they have no reward", f"{summary['ignored']:,}"],
        *(
            [f"logged by {version}", html_page.percent(fraction)]
            for version, fraction in summary["logging_mix"].items()
        ),
    ]
    tables = html_page.table(["weights", *plots.SIDES], weights) + html_page.table(["log", ""], log)
    return f"<section><h2>Diagnostics</h2>{_alarm(summary['propensity_audit'])}{tables}</section>"


def _alarm(audit: Summary) -> str:
    """The alarm of the propensity audit, where it rejects."""
    if audit["log_wealth"] is None or audit["log_wealth"] < audit["needed"]:
        return ""
    odds, needed = html_page.odds(audit["log_wealth"]), html_page.odds(audit["needed"])
    text = f"""The actions were not chosen as often as the policies that logged them say: {odds} against chance, where
{needed} raise this alarm. Logged propensities are wrong, or a policy has changed since it logged them. Do not rely on
the estimates."""
    return f'<p class="alarm">{text}</p>'


def _rounded(value: float | None) -> str:
    return html_page.number(None if value is None else round(value))
