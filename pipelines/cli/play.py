"""The command `play`: episodes in the config's environment, what they earn, and their rows as a log."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet
import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, load_config
from banditloop.pipelines.cli.progress import progress
from banditloop.pipelines.cli.table import Row
from banditloop.pipelines.cli.watched import WatchedEngine
from banditloop.rl_core.environments import configured_episodic
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.rollouts import (
    Choose,
    Returns,
    chooses,
    engine,
    greedily,
    returns,
    rollouts,
    standard_error,
    uniformly,
)
from banditloop.rl_core.rollouts.log import as_log
from banditloop.rl_core.settings.section import MAX_INTEGER


def play(
    config: ConfigOption = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory of a policy. Default: only uniformly random choice.")
    ] = None,
    episodes: Annotated[
        int,
        typer.Option(min=1, max=1_000_000, help="Number of episodes, the same ones for all."),
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, max=MAX_INTEGER, help="Seed of the episodes.")] = 0,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Parquet file to write what the policy, or random choice, played as a log."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play episodes in the config's environment, and show what a policy earns in them beside random choice.

    Returns are sums of an episode's rewards; errors are standard errors. The difference is that to random choice.

    Example: `banditloop play -c cartpole.toml --policy build/policy`

    Example: `banditloop play -c cartpole.toml --episodes 150 --log random.parquet`
    """
    settings = load_config(config)
    environment = configured_episodic(settings.environment, "play")
    if log and (log.suffix != ".parquet" or not log.absolute().parent.is_dir()):
        raise InvalidInput(f"--log {log}: give a .parquet file in a folder that exists")
    loaded = SavedPolicy.load(policy) if policy else None
    discount = settings.episodes.discount if settings.episodes else 1.0
    choices: dict[str, Choose] = {"random": uniformly}
    if loaded:
        choices |= {"as served": chooses(loaded, environment.task), "greedy": greedily(loaded, environment.task)}
    played = dict[str, Returns]()
    with engine(settings.rollouts) as workers, progress(quiet=as_json) as report:
        for name, choose in choices.items():
            watched = WatchedEngine(workers, f"playing: {name}", report)
            played[name] = returns(
                choose, environment, seed, episodes, discount, max_steps=settings.max_steps, engine=watched
            )
        if log:
            watched = WatchedEngine(workers, "playing: for the log", report)
            table = rollouts(loaded, environment, seed, episodes, max_steps=settings.max_steps, engine=watched)
            report("writing the log")
            pyarrow.parquet.write_table(as_log(table), log)
    rows = [_row(name, own, None if name == "random" else played["random"]) for name, own in played.items()]
    title = f"policy {loaded.manifest.version}" if loaded else "random choice"
    display.table(f"{title}: means of {episodes:,} episodes", rows, as_json)


def _row(name: str, played: Returns, random: Returns | None) -> Row:
    row: Row = {"choice": name, "return": _mean(played.undiscounted), "error": standard_error(played.undiscounted)}
    row |= {"discounted": _mean(played.discounted), "steps": _mean(played.lengths)}
    if random is None:
        return row | {"difference": None, "difference_error": None}
    difference = played.undiscounted - random.undiscounted
    return row | {"difference": _mean(difference), "difference_error": standard_error(difference)}


def _mean(values: np.ndarray) -> float:
    return float(values.mean())
