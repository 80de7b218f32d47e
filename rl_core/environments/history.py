"""A simulated log of a uniformly random policy."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.rl_core.environments.environment import Environment
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts, context_array
from banditloop.rl_core.events.rows import decision_table, reward_table
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.settings.section import digest
from banditloop.rl_core.settings.task import Task

HISTORY_START = datetime(2025, 1, 1, tzinfo=UTC)  # before any real event, and the same on every retry
ROWS_PER_BATCH = 10_000


def simulated_history(
    environment: Environment, interactions: int, reward_name: str, seed: int
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Batches of decisions and their rewards. The same arguments give the same events with the same ids.

    Rewards are clipped to the task's range, which an environment's noise may leave.

    Raises:
        InvalidInput: interactions is less than 1, or neither task nor environment lists the actions.
    """
    if interactions < 1:
        raise InvalidInput(f"interactions = {interactions}: give at least 1")
    task, random = environment.task, np.random.default_rng(seed)
    identifier = digest([environment.model_dump(mode="json"), interactions, seed])
    for start in range(0, interactions, ROWS_PER_BATCH):
        rows = range(start, min(start + ROWS_PER_BATCH, interactions))
        event_ids = [f"simulated-{identifier}-{row}" for row in rows]
        times = simulated_times(np.arange(rows.start, rows.stop))
        contexts = environment.observe(len(rows), random)
        columns = _choices(environment, contexts, len(rows), random)
        decisions = decision_table(
            task,
            event_id=event_ids,
            timestamp=times,
            policy_version=RANDOM,
            context=context_array(task, contexts),
            mode="simulated",
            **columns,
        )
        delays = environment.delays(event_ids)
        values = environment.reward(contexts, chosen_actions(task, columns["action"]), event_ids)
        rewards = reward_table(
            event_id=event_ids,
            value=task.rewards.clip(values),
            timestamp=times if delays is None else times + np.rint(delays * 1e6).astype("timedelta64[us]"),
            name=reward_name,
            source_id="generator",
        )
        yield decisions, rewards


def simulated_times(numbers: np.ndarray) -> np.ndarray:
    """The times of simulated decisions by their numbers, one a millisecond: datetime64 in microseconds, in UTC."""
    return np.datetime64(HISTORY_START.replace(tzinfo=None), "us") + 1_000 * numbers


def chosen_actions(task: Task, ids: list[str]) -> np.ndarray:
    """Actions as an environment's `reward` takes them: numbers where the task numbers its actions, otherwise ids."""
    return np.array([int(action) for action in ids]) if task.numbered else np.array(ids, dtype=object)


def listed_candidates(
    environment: Environment, contexts: Contexts, random: np.random.Generator
) -> list[list[str]] | None:
    """The candidates to list for each context, if the environment chooses them or actions have features; else None."""
    candidates = environment.candidates(contexts, random)
    if candidates is None and environment.action_features() is not None:
        return [_all_ids(environment)] * len(next(iter(contexts.values())))
    return candidates


def features_by_id(environment: Environment) -> dict[str, dict[str, Any]]:
    """The features of every action by its id; empty if actions have none."""
    features = environment.action_features()
    return {} if features is None else dict(zip(_all_ids(environment), features, strict=True))


def _choices(environment: Environment, contexts: Contexts, rows: int, random: np.random.Generator) -> dict[str, Any]:
    """The columns of candidates and actions: each action is drawn uniformly from its candidates."""
    listed = listed_candidates(environment, contexts, random)
    if listed is None:
        ids = _all_ids(environment)
        actions = [ids[number] for number in random.integers(len(ids), size=rows)]
        candidates = () if environment.task.numbered else tuple(ids)
        share = 1 / len(ids)
        return {"action": actions, "candidates": candidates, "propensity": share, "probabilities": (share,) * len(ids)}
    actions = [ids[int(uniform * len(ids))] for ids, uniform in zip(listed, random.random(rows), strict=True)]
    features = features_by_id(environment)
    rows_of_features = [[features[action] for action in ids] if features else [] for ids in listed]
    shares = [1 / len(ids) for ids in listed]
    return {
        "action": actions,
        "candidates": listed,
        "candidate_features": rows_of_features,
        "propensity": shares,
        "probabilities": [[share] * len(ids) for share, ids in zip(shares, listed, strict=True)],
    }


def _all_ids(environment: Environment) -> list[str]:
    ids = environment.task.action_ids
    if ids is None:
        raise InvalidInput(f"environment.name = {environment.name!r}: neither its task nor its candidates list actions")
    return list(ids)
