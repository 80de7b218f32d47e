"""banditloop: compile, submit and run the pipelines, serve the endpoint, and look at what happens."""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines import cloud, dead_letters, display, importing, releases, runs, schedules
from pipelines.options import ConfigOption, ImageOption, JsonOption, OutputOption, TargetOption, load
from rl_core.backends import Platform, connect
from rl_core.config import Config
from rl_core.errors import InvalidInput

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
RELEASES = (releases.versions, releases.promote, releases.rollback, releases.traffic, releases.report)
for command in (runs.submit, runs.run, runs.logs, *RELEASES):
    app.command()(command)
app.add_typer(cloud.app, name="cloud")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(schedules.app, name="schedule")
app.add_typer(importing.app, name="import")


@app.command(name="compile")
def compile_(
    output: OutputOption = Path("build/pipelines"),
    image: ImageOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the pipelines to KFP IR.

    Example: `banditloop compile -o build/pipelines --image europe-docker.pkg.dev/p/r/banditloop@sha256:…`
    """
    from pipelines.compiling import compile_pipelines

    display.paths(compile_pipelines(output, load(config), image), as_json)


@app.command()
def export_components(
    output: OutputOption = Path("build/components"),
    image: ImageOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write every component as a YAML file that any pipeline can load.

    Example: `banditloop export-components -o build/components`
    """
    from pipelines.compiling import export_components as export

    display.paths(export(output, load(config), image), as_json)


@app.command()
def loop(
    config: ConfigOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="How many times to serve users and retrain.")] = 6,
    users: Annotated[int, typer.Option(min=1, help="How many users come in each round.")] = 600,
    interactions: Annotated[int, typer.Option(min=1, help="Simulated interactions to start from.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Which users come.")] = 0,
    output: OutputOption = Path("build/demo"),
    as_json: JsonOption = False,
) -> None:
    """Do everything on this machine: start up, then serve simulated users and retrain, round after round.

    Example: `banditloop loop --rounds 10 --users 1000`
    """
    from pipelines import loop as steps
    from pipelines.figures import summary
    from pipelines.page import write_page
    from pipelines.services import services

    settings = load(config)
    enough = settings.trigger.model_copy(update={"min_interactions": min(users, settings.trigger.min_interactions)})
    settings = settings.model_copy(update={"trigger": enough})  # every round is to retrain
    platform = connect(settings)
    final = summary(settings, platform)  # before anything starts: no ratings, no loop
    notes = []
    with services(settings), display.progress(quiet=as_json) as report:
        steps.start(settings, platform, interactions, seed, report)
        for number in range(rounds):
            report.table(summary(settings, platform))
            steps.visit(settings, platform, users, seed + number * 1_000_000, report)
            if reason := steps.retrain(settings, platform, report):
                notes.append(f"round {number + 1} ended without retraining: {reason}")
        report.table(summary(settings, platform))
        steps.visit(settings, platform, users, seed + rounds * 1_000_000, report)
        report.table(final := summary(settings, platform))
    output.mkdir(parents=True, exist_ok=True)
    (output / "summary.json").write_text(json.dumps(final, indent=2))
    write_page(final, output / "index.html")
    display.show(final, as_json, "\n".join([*notes, f"The learning curve: {(output / 'index.html').absolute()}"]))


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Serve the endpoint, log what happens, retrain and release when it is time, until interrupted.

    Example: `banditloop serve -c loop.toml`
    """
    from functions.monitor import watch
    from functions.trigger import tick
    from pipelines.compiling import compile_pipelines
    from pipelines.services import services

    settings = load(config)
    platform = connect(settings)
    compile_pipelines(Path(settings.trigger.template).parent, settings)
    display.say(f"serving endpoint {settings.backend.endpoint}; press Ctrl-C to stop")
    with contextlib.suppress(KeyboardInterrupt), services(settings), display.progress(quiet=False) as report:
        while True:
            report("; ".join(_try(look, settings, platform) for look in (tick, watch)), None)
            time.sleep(1)


def _try(look: Callable[[Config, Platform], tuple[str | None, str]], config: Config, platform: Platform) -> str:
    """What a look of the trigger or the monitor came to. Whatever goes wrong with it, serving goes on."""
    try:
        done, reason = look(config, platform)
    except Exception as error:
        return f"{look.__name__} failed, will try again: {error}"
    return f"{done}: {reason}" if done else reason


@app.command()
def status(config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False) -> None:
    """Show versions, traffic, runs and what waits to be learned from.

    Example: `banditloop status --json`
    """
    from pipelines.status import status as look

    display.status(look(load(config, target)), as_json)


@app.command()
def inspect(
    policy: Annotated[Path | None, typer.Argument(help="A policy directory; without it, the warehouse.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a policy directory or the warehouse holds.

    Example: `banditloop inspect build/loop/endpoints/movielens/versions/v3-0a1b2c3d`
    """
    from rl_core.policy import checked

    if policy is None:
        display.rows("warehouse", connect(load(config)).warehouse.totals(), as_json)
    else:
        display.mapping("policy", checked(policy).model_dump(mode="json"), as_json)


def main() -> None:
    """Run the command line: 0 done, 1 failed, 2 wrong input."""
    from pipelines.loop import LoopFailed

    try:
        app(standalone_mode=True)
    except InvalidInput as error:
        _leave(str(error), 2)
    except LoopFailed as error:
        _leave(str(error), 1)
    except OSError as error:
        _leave(str(error), 1)


def _leave(message: str, code: int) -> Any:
    print(f"banditloop: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
