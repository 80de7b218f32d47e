"""The command `evaluate`: what a log that any system wrote says about a policy."""

import json
from pathlib import Path
from typing import Annotated

import typer

from banditloop.pipelines.cli.import_log import FilesArgument, FormatOption, LoggingPolicyOption, MapOption
from banditloop.pipelines.cli.options import JsonOption
from banditloop.pipelines.cli.progress import progress
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import EpisodeEvaluation, LogEvaluation
from banditloop.rl_core.logs.columns import parse_mapping
from banditloop.rl_core.logs.formats import LogFiles

PolicyOption = Annotated[
    str,
    typer.Option(
        metavar="DIR|uniform|COLUMN",
        help="A policy directory; uniform; or the column with the policy's probability of the logged action.",
    ),
]
BaselineOption = Annotated[
    str,
    typer.Option(metavar="DIR|uniform|COLUMN", help="The policy to compare with. Default: whatever wrote the log."),
]
ByOption = Annotated[list[str], typer.Option(metavar="COLUMN", help="Segments by its values; may be repeated.")]
DetectOption = Annotated[
    float | None, typer.Option(help="A difference in units of the reward: how many interactions find it.")
]
RangeOption = Annotated[
    str, typer.Option(metavar="LOW,HIGH", help="Smallest and largest reward. Default: the policy's, else 0,1.")
]
DefaultOption = Annotated[float | None, typer.Option(help="The reward of decisions without one.")]
LeastOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="The least propensity of any action, if known: intervals are narrower."),
]
DiscountOption = Annotated[
    float | None, typer.Option(help="Of episodes: what a reward is worth one step before it is earned. Default: 0.99.")
]
MetricOption = Annotated[
    list[str], typer.Option("--metric", metavar="COLUMN", help="Of episodes: another reward; may be repeated.")
]
HtmlOption = Annotated[Path | None, typer.Option(dir_okay=False, help="Write a page with the evaluation, too.")]


def evaluate_(
    files: FilesArgument,
    policy: PolicyOption,
    baseline: BaselineOption = "",
    mapping: MapOption = [],
    format: FormatOption = None,
    by: ByOption = [],
    detect: DetectOption = None,
    reward_range: RangeOption = "",
    default_reward: DefaultOption = None,
    least_propensity: LeastOption = 0.0,
    discount: DiscountOption = None,
    metrics: MetricOption = [],
    html: HtmlOption = None,
    logging_policy: LoggingPolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a policy on a log of decisions with their propensities and rewards, which no loop need have written.

    The propensities are used as they were logged; rows without one are left out, and counted, where you say
    `--logging-policy unknown`. A policy directory reads its features from columns of their name,
    and has estimates by a reward model too. `uniform` chooses from the candidates of each row or, in a log without
    them, from all actions that occur in it.

    A log with a column episode_id, and step, is one of episodes: what is estimated is the mean discounted sum of an
    episode's rewards. The columns terminal or truncated say which episodes did not end; without them, all did.

    Example: `banditloop evaluate log.csv --policy build/loop/endpoints/news/versions/v3-0a1b2c3d --by country`

    Example: `banditloop evaluate log.parquet --policy uniform --map reward=clicked --map propensity=p --detect .01`

    Example: `banditloop evaluate episodes.parquet --policy build/policy --discount .99 --metric cost`
    """
    from banditloop.pipelines.cli.evaluate_episodes import DISCOUNT, check_options, evaluate_log_of_episodes
    from banditloop.pipelines.cli.evaluate_log import NO_PROPENSITIES, LogToEvaluate
    from banditloop.pipelines.cli.evaluated_policies import parse_policy, task_of

    if format == "vertex-sample":
        raise InvalidInput(NO_PROPENSITIES)
    policies = parse_policy(policy, "--policy"), parse_policy(baseline, "--baseline") if baseline else None
    task = task_of(policies, _range(reward_range))
    read = LogFiles(files, task, parse_mapping(mapping), format or "", ignore_others=True)
    of_decisions = {"--by": bool(by), "--detect": detect is not None, "--least-propensity": bool(least_propensity)}
    of_decisions |= {"--reward-range": bool(reward_range)}
    evaluation: LogEvaluation | EpisodeEvaluation
    with progress(quiet=as_json) as report:
        log = LogToEvaluate(read, logging_policy or read.logging_policy, default_reward, report)
        check_options(log, of_decisions, {"--discount": discount is not None, "--metric": bool(metrics)})
        if log.has_episodes:
            evaluation = evaluate_log_of_episodes(log, *policies, metrics, DISCOUNT if discount is None else discount)
        else:
            evaluation = log.evaluate(*policies, by, detect, least_propensity)
    _show(evaluation, html, as_json)


def _show(evaluation: LogEvaluation | EpisodeEvaluation, html: Path | None, as_json: bool) -> None:
    if html:
        from banditloop.rl_core.reports import episode_log_page, log_page

        page = episode_log_page if isinstance(evaluation, EpisodeEvaluation) else log_page
        page.write_page(evaluation.summary, html)
    typer.echo(json.dumps(evaluation.summary, indent=2) if as_json else str(evaluation))


def _range(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    from banditloop.pipelines.cli.init import parse_range

    low, high = parse_range(text)
    return low, high
