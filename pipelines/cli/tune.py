"""The command `tune`: which settings of the agent and the policy are better than those in use."""

from pathlib import Path
from typing import Annotated, Any

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.import_log import MapOption
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, OutputOption, WideOption, load_config
from banditloop.pipelines.cli.progress import progress
from banditloop.pipelines.cli.watched import watched_platform
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.tuning import TuningSection

LogOption = Annotated[Path | None, typer.Option(help="A log in a file, or a folder of them, instead of the loop's.")]
TrialsOption = Annotated[int | None, typer.Option(min=1, help="Settings to try; overrides tuning.trials.")]
ParallelOption = Annotated[int | None, typer.Option(min=1, help="Trials at a time; overrides tuning.parallel.")]


def tune(
    config: ConfigOption = None,
    log: LogOption = None,
    mapping: MapOption = [],
    trials: TrialsOption = None,
    parallel: ParallelOption = None,
    output: OutputOption = Path("build/tuning"),
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Try the settings in the config's [tuning.search_space], and test the best ones against those in use.

    They are compared by their off-policy value on the log or, with `tuning.objective = "simulation"`, by the rewards of
    simulated loops, or with "on_policy" by those of policies that on-policy training makes. Only if the best ones are
    better on data that no trial has seen, the loop's next trainings use them. A tuning that was interrupted, or killed,
    goes on where it ended.

    Example: `banditloop tune -c loop.toml --trials 50 --parallel 2`

    Example: `banditloop tune -c loop.toml --log log.parquet --map reward=clicked`
    """
    from banditloop.rl_core.logs.columns import parse_mapping
    from banditloop.rl_core.reports.tuning_page import trial_rows, write_tuning
    from banditloop.rl_core.tuning.objective import Source
    from banditloop.rl_core.tuning.tune import tune as run

    settings = _overridden(load_config(config), {"trials": trials, "parallel": parallel})
    platform, source = connect(settings), Source(str(log.absolute()) if log else "", parse_mapping(mapping))
    with progress(quiet=as_json) as report:
        ended: list[Any] = []

        def on_trial(trial: Any) -> None:
            ended.append(trial)
            best = max((each.value for each in ended if each.state == "complete"), default=None)
            text = "" if best is None else f", best {best:.4g}"
            report(f"trial {trial.number} has ended{text}", len(ended), settings.tuning.trials, "trials")
            if len(ended) == settings.tuning.trials:
                report("testing the best settings")

        report("reading")
        read = watched_platform(platform, settings, report)
        summary = run(settings, read, platform.scratch / "tuning", source, on_trial=on_trial)
    write_tuning(summary, output / "tuning.json", output / "index.html")
    if not as_json:
        display.table(summary["metric"], trial_rows(summary), wide=wide)
    text = f"{summary['finding']}\npage: {(output / 'index.html').absolute()}"
    display.json_or_text(summary, as_json, text)


def _overridden(config: Config, values: dict[str, int | None]) -> Config:
    if not list(config.tuning.parameters()):
        raise InvalidInput(
            "tuning.search_space: is empty; name settings to try, as agent.alpha = {low = 0.1, high = 10, log = true}"
        )
    given = {key: value for key, value in values.items() if value is not None}
    return config.model_copy(update={"tuning": TuningSection.parse(config.tuning.model_dump() | given, "tuning")})
