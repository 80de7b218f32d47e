"""The command `evaluate`: what a log that any system wrote says about a policy."""

import json
from pathlib import Path
from typing import Annotated

import typer

from banditloop.pipelines.cli.import_log import FilesArgument, Format, LoggingPolicyOption, MapOption
from banditloop.pipelines.cli.options import JsonOption
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.logs.columns import parse_mapping


def evaluate_(
    files: FilesArgument,
    policy: Annotated[
        str,
        typer.Option(
            metavar="DIR|uniform|COLUMN",
            help="A policy directory; uniform; or the column with the policy's probability of the logged action.",
        ),
    ],
    baseline: Annotated[
        str,
        typer.Option(metavar="DIR|uniform|COLUMN", help="The policy to compare with. Default: whatever wrote the log."),
    ] = "",
    mapping: MapOption = [],
    format: Annotated[Format | None, typer.Option("--format", help="As for import. Default: by the suffix.")] = None,
    by: Annotated[list[str], typer.Option(metavar="COLUMN", help="Segments by its values; may be repeated.")] = [],
    detect: Annotated[
        float | None, typer.Option(help="A difference in units of the reward: how many interactions find it.")
    ] = None,
    reward_range: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="Smallest and largest reward. Default: the policy's, else 0,1.")
    ] = "",
    default_reward: Annotated[float | None, typer.Option(help="The reward of decisions without one.")] = None,
    least_propensity: Annotated[
        float, typer.Option(min=0, max=1, help="That any action had, if it is known: intervals are narrower.")
    ] = 0.0,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Write a page with the evaluation, too.")] = None,
    logging_policy: LoggingPolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a policy on a log of decisions with their propensities and rewards, which no loop need have written.

    The propensities are used as they were logged. A policy directory reads its features from columns of their name,
    and has estimates by a reward model too. `uniform` chooses from the candidates of each row or, in a log without
    them, from all actions that occur in it.

    Example: `banditloop evaluate log.csv --policy build/loop/endpoints/news/versions/v3-0a1b2c3d --by country`

    Example: `banditloop evaluate log.parquet --policy uniform --map reward=clicked --map propensity=p --detect .01`
    """
    from dataclasses import replace

    from banditloop.pipelines.cli.evaluate_log import LogToEvaluate
    from banditloop.pipelines.cli.evaluated_policies import parse_policy, task_of
    from banditloop.rl_core.estimators import evaluate
    from banditloop.rl_core.logs.formats import LogFiles

    if format == "vertex-sample" or logging_policy == "unknown":
        raise InvalidInput("a log without propensities says nothing about other policies than its own")
    target, other = parse_policy(policy, "--policy"), parse_policy(baseline, "--baseline") if baseline else None
    task = task_of((target, other), _range(reward_range))
    log = LogToEvaluate(LogFiles(files, task, parse_mapping(mapping), format or "", ignore_others=True), logging_policy)
    evaluation = evaluate(
        {},
        **log.inputs(target, other, default_reward),
        by={name: log.values(name) for name in by},
        reward_range=(task.rewards.low, task.rewards.high),
        max_weight=1 / least_propensity if least_propensity else float("inf"),
        detect=detect,
    )
    evaluation = replace(evaluation, summary=log.describe(policy) | evaluation.summary)
    if html:
        from banditloop.rl_core.reports.log_page import write_page

        write_page(evaluation.summary, html)
    typer.echo(json.dumps(evaluation.summary, indent=2) if as_json else str(evaluation))


def _range(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    from banditloop.pipelines.cli.init import parse_range

    low, high = parse_range(text)
    return low, high
