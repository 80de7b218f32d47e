"""Logs of other systems as decisions and rewards of ours."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import orjson
import pyarrow as pa
import typer
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from pipelines import display
from pipelines.options import ConfigOption, JsonOption, load
from rl_core.backends import connect
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.manifest import RANDOM
from rl_core.observations import check_observations
from rl_core.predictions import APPLICATION
from rl_core.schema import DECISION, LARGEST, REWARD
from rl_core.sections import explain
from rl_core.simulation import BEGINNING

ROWS_AT_ONCE = 1000
SOURCE = "vertex-sample"
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
app = typer.Typer(no_args_is_help=True)


class Observed(TypedDict):
    """A record of the column `observation`."""

    observation_batch: list[Number]


@with_config(ConfigDict(allow_inf_nan=False))
class Trajectory(TypedDict):
    """A row of the sample's table: a batch of users. Its four other columns say nothing in a bandit."""

    observation: list[Observed]
    action: list[int]
    reward: list[Number]


TRAJECTORY = TypeAdapter(Trajectory)


@app.callback()
def import_() -> None:
    """Take over the log of another system.

    Example: `banditloop import vertex-sample trajectories.json`
    """


@app.command(name="vertex-sample")
def vertex_sample(
    file: Path,
    config: ConfigOption = None,
    chosen: Annotated[bool, typer.Option(help="Its policy chose, not chance; nothing can be evaluated on it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import the trajectory table of Google's MovieLens sample, exported as JSON lines.

    Its generator's rows are uniformly random. Those of its logger (--chosen) carry the rewards of other users.

    Example: `bq extract --destination_format NEWLINE_DELIMITED_JSON …`, then
    `banditloop import vertex-sample trajectories.json`
    """
    settings = load(config)
    warehouse, seen, added = connect(settings).warehouse, Counter[str](), 0
    for _ in _users(file, settings):  # all of it is right before any of it is kept
        pass
    users = _users(file, settings)
    while some := list(islice(users, ROWS_AT_ONCE)):
        decisions, rewards = _tables(some, settings, chosen, seen)
        warehouse.append("rewards", rewards)
        added += warehouse.append("decisions", decisions)
    known = seen.total() - added
    display.show({"added": added, "known": known}, as_json, f"{added} interactions imported, {known} were there before")


def _users(file: Path, config: Config) -> Iterator[tuple[list[float], int, float]]:
    """Observation, action and reward of every user."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield from _row(line, f"{file}, line {number}", config)
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}") from None


def _row(line: bytes, place: str, config: Config) -> Iterable[tuple[list[float], int, float]]:
    try:
        row = TRAJECTORY.validate_json(line)
    except ValidationError as error:
        raise InvalidInput(explain(error, place)) from None
    observations = [observed["observation_batch"] for observed in row["observation"]]
    if not len(observations) == len(row["action"]) == len(row["reward"]):
        raise InvalidInput(f"{place}: observation, action and reward are not of the same number of users")
    try:
        check_observations(observations, config.environment.dim)
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error}") from None
    if wrong := [action for action in row["action"] if not 0 <= action < config.environment.actions]:
        raise InvalidInput(f"{place}: action = {wrong[0]}: there are {config.environment.actions}, from 0")
    return zip(observations, row["action"], row["reward"], strict=True)


def _tables(users: Iterable[Any], config: Config, chosen: bool, seen: Counter[str]) -> tuple[pa.Table, pa.Table]:
    """Decisions and rewards. Their ids follow from what they are, so that importing again adds nothing."""
    decisions, rewards, actions = [], [], config.environment.actions
    for observation, action, reward in users:
        content = hashlib.sha256(orjson.dumps([observation, action, reward])).hexdigest()[:24]
        event_id, at = f"{SOURCE}-{content}-{seen[content]}", BEGINNING + timedelta(milliseconds=seen.total())
        seen[content] += 1
        certain = [float(arm == action) for arm in range(actions)]
        decisions.append(
            {
                "event_id": event_id,
                "timestamp": at,
                "policy_version": APPLICATION if chosen else RANDOM,
                "observation": observation,
                "action": action,
                "propensity": 1.0 if chosen else 1 / actions,
                "probabilities": certain if chosen else [1 / actions] * actions,
                "mode": "logged" if chosen else "simulated",
                "pass_probability": 1.0,
            }
        )
        rewards.append(
            {"event_id": event_id, "name": config.reward.name, "value": reward, "timestamp": at, "source_id": SOURCE}
        )
    return pa.Table.from_pylist(decisions, DECISION), pa.Table.from_pylist(rewards, REWARD)
