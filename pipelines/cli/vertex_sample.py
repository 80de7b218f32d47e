"""The trajectory table of Google's MovieLens sample, as decisions and rewards."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import orjson
import pyarrow as pa
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.history import HISTORY_START
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.rows import decision_row, reward_row
from banditloop.rl_core.events.schema import MAX_ABS_VALUE, RANDOM, REWARD, decision_schema
from banditloop.rl_core.logs.events import APPLICATION
from banditloop.rl_core.settings.feature_kinds import Vector
from banditloop.rl_core.settings.section import explain
from banditloop.rl_core.settings.task import Task

SOURCE = "vertex-sample"
Number = Annotated[float, Field(ge=-MAX_ABS_VALUE, le=MAX_ABS_VALUE)]
LoggingPolicy = Literal["uniform", "unknown"]
Interaction = tuple[list[float], int, float]  # observation, action, reward


class ObservationRecord(TypedDict):
    """A record of the column `observation`."""

    observation_batch: list[Number]


@with_config(ConfigDict(allow_inf_nan=False))
class Trajectory(TypedDict):
    """A row of the sample's table: a batch of users. Its four other columns carry no information in a bandit."""

    observation: list[ObservationRecord]
    action: list[int]
    reward: list[Number]


TRAJECTORY = TypeAdapter(Trajectory)


def read_interactions(files: Iterable[Path], config: Config) -> Iterator[Interaction]:
    """The interactions of the exported table, in one file or in several.

    Raises:
        InvalidInput: a line is wrong; names it. Or the task has other features, or actions with names, or a file is
            given twice.
    """
    _vector(config.task)
    resolved = [file.resolve() for file in files]
    for file in resolved:
        if resolved.count(file) > 1:
            raise InvalidInput(f"{file}: is given twice")
        yield from _read_file(file, config)


def _read_file(file: Path, config: Config) -> Iterator[Interaction]:
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield from _read_line(line, f"{file}, line {number}", config.task)
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}") from None


def _read_line(line: bytes, where: str, task: Task) -> Iterable[Interaction]:
    try:
        row = TRAJECTORY.validate_json(line)
    except ValidationError as error:
        raise InvalidInput(explain(error, where)) from None
    observations = [record["observation_batch"] for record in row["observation"]]
    if not len(observations) == len(row["action"]) == len(row["reward"]):
        raise InvalidInput(f"{where}: observation, action and reward differ in their numbers of users")
    length, actions = _vector(task)[1].vector, len(task.action_ids or ())
    if any(len(observation) != length for observation in observations):
        raise InvalidInput(f"{where}.observation: give {length} numbers per user, as task.context says")
    if invalid := [action for action in row["action"] if not 0 <= action < actions]:
        raise InvalidInput(f"{where}: action = {invalid[0]}: give 0 to {actions - 1}")
    return zip(observations, row["action"], row["reward"], strict=True)


def _vector(task: Task) -> tuple[str, Vector]:
    """The task's only feature, by its name."""
    [(name, kind)] = task.context.items() if task.plain and task.numbered else [("", None)]
    if not isinstance(kind, Vector):
        raise InvalidInput(
            "task: the sample's observations are one vector and its actions are numbers; give a task such as "
            "actions = 20, context = {observation = {vector = 20}}"
        )
    return name, kind


def to_tables(
    batch: list[Interaction], config: Config, logging_policy: LoggingPolicy, counts: Counter[str]
) -> tuple[pa.Table, pa.Table]:
    """Decisions and rewards of a batch. Event ids are hashes of the content, so importing again adds nothing.

    `counts` holds how often each content has occurred so far, and is updated.
    """
    decisions, rewards, actions = [], [], len(config.task.action_ids or ())
    feature, _ = _vector(config.task)
    for observation, action, reward in batch:
        content = hashlib.sha256(orjson.dumps([observation, action, reward])).hexdigest()[:24]
        event_id = f"{SOURCE}-{content}-{counts[content]}"
        timestamp = HISTORY_START + timedelta(milliseconds=counts.total())
        counts[content] += 1
        uniform = logging_policy == "uniform"
        one_hot = [float(index == action) for index in range(actions)]
        decisions.append(
            decision_row(
                event_id=event_id,
                timestamp=timestamp,
                policy_version=RANDOM if uniform else APPLICATION,
                context={feature: observation},
                action=str(action),
                propensity=1 / actions if uniform else 1.0,
                probabilities=[1 / actions] * actions if uniform else one_hot,
                mode="simulated" if uniform else "external",
            )
        )
        rewards.append(
            reward_row(event_id=event_id, value=reward, timestamp=timestamp, name=config.reward.name, source_id=SOURCE)
        )
    return pa.Table.from_pylist(decisions, decision_schema(config.task)), pa.Table.from_pylist(rewards, REWARD)
