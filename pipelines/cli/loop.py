"""The command `loop`: startup, then rounds of simulated traffic and retraining, on this machine."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, OutputOption, load_config
from banditloop.pipelines.cli.progress import progress
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.section import MAX_INTEGER

SEEDS_PER_ROUND = 1_000_000


def loop(
    config: ConfigOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of traffic and retraining.")] = 6,
    users: Annotated[
        int, typer.Option(min=1, help="Simulated users per round; of a sequential problem, episodes.")
    ] = 600,
    interactions: Annotated[int, typer.Option(min=1, help="Simulated interactions of the startup pipeline.")] = 100,
    seed: Annotated[int, typer.Option(min=0, max=MAX_INTEGER, help="Seed of the simulated users.")] = 0,
    output: OutputOption = Path("build/demo"),
    as_json: JsonOption = False,
) -> None:
    """Run everything on this machine: startup, then rounds of simulated traffic and retraining.

    Example: `banditloop loop --rounds 10 --users 1000`
    """
    from banditloop.pipelines.cli.loop_steps import retrain, run_startup, visit
    from banditloop.pipelines.cli.supervisor import services
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.reports.learning_curve import summary

    settings = _retraining_every_round(_simulated(load_config(config)), users)
    platform = connect(settings)
    check_start(settings, platform)
    result = summary(settings, platform)  # raises before anything starts if the ratings are missing
    messages = []
    with services(settings), progress(quiet=as_json) as report:
        run_startup(settings, platform, interactions, seed, report)
        for number in range(rounds):
            report.table(summary(settings, platform))
            visit(settings, platform, users, seed + number * SEEDS_PER_ROUND, report)
            if reason := retrain(settings, platform, report):
                messages.append(f"round {number + 1}: no retraining: {reason}")
        report.table(summary(settings, platform))
        visit(settings, platform, users, seed + rounds * SEEDS_PER_ROUND, report)
        report.table(result := summary(settings, platform))
    messages.append(f"learning curve: {_write(result, output)}")
    display.json_or_text(result, as_json, "\n".join(messages))


def _simulated(config: Config) -> Config:
    if config.environment is None:
        raise InvalidInput(
            "environment: is missing; `banditloop loop` simulates users in one. Your application's are served by "
            "`banditloop serve`"
        )
    return config


def _retraining_every_round(config: Config, users: int) -> Config:
    interactions = min(users, config.retraining.min_new_interactions)
    retraining = config.retraining.model_copy(update={"min_new_interactions": interactions})
    return config.model_copy(update={"retraining": retraining})


def _write(summary: dict[str, Any], folder: Path) -> Path:
    """Write summary.json and index.html, and return the absolute path of the page."""
    from banditloop.rl_core.reports.learning_curve_page import write_page

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2))
    write_page(summary, folder / "index.html")
    return (folder / "index.html").absolute()
