"""Episodes that a policy plays, as rows of the log."""

from functools import partial

import numpy as np
import pyarrow as pa

from banditloop.rl_core.environments.episodic import EpisodicEnvironment, episode_seeds
from banditloop.rl_core.environments.history import simulated_times
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.events.schema import DOUBLES, RANDOM, TIME, interaction_schema
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.rollouts.engine import IN_PROCESS, Engine
from banditloop.rl_core.rollouts.play import Played, chooses, play
from banditloop.rl_core.settings.section import digest
from banditloop.rl_core.settings.task import Task

BLOCK = 1_000  # episodes that are played at a time


def rollouts(
    policy: SavedPolicy | None,
    environment: EpisodicEnvironment,
    seed: int,
    episodes: int,
    first: int = 0,
    max_steps: int | None = None,
    engine: Engine = IN_PROCESS,
) -> pa.Table:
    """The interactions of episodes of the run with this seed, by a policy (None: the random one).

    Rows have the schema `interaction_schema`, sorted by the episodes' numbers, from `first` on, and by step; terminal
    and truncated are known in all of them. An episode is the same, ids included, whatever others it is played with:
    runs can be divided over calls and machines. Rewards are clipped to the task's range. max_steps: see `play`. engine:
    where they are played.
    """
    tables = engine.play(partial(_rollouts, policy, environment, seed, first, max_steps), episodes)
    return pa.concat_tables(tables)


def _rollouts(
    policy: SavedPolicy | None,
    environment: EpisodicEnvironment,
    seed: int,
    first: int,
    max_steps: int | None,
    part: slice,
) -> pa.Table:
    """The interactions of a part of the episodes."""
    task, choose = environment.task, chooses(policy, environment.task)
    version = policy.manifest.version if policy else RANDOM
    run = digest([environment.model_dump(mode="json"), version, max_steps, seed])
    tables = [interaction_schema(task).empty_table()]
    for start in range(first + part.start, first + part.stop, BLOCK):
        seeds = episode_seeds(seed, start, min(BLOCK, first + part.stop - start))
        played = [*play(environment, seeds, choose, max_steps)]
        rows = pa.concat_tables([_rows(task, step, start, run, version) for step in played])
        order = np.argsort(np.concatenate([step.episodes for step in played]), kind="stable")  # steps are in order
        tables.append(rows.take(pa.array(order)))
    return pa.concat_tables(tables)


def _rows(task: Task, played: Played, first: int, run: str, version: str) -> pa.Table:
    """The interactions of a step. Episodes start a millisecond apart, and steps are a millisecond apart, too."""
    decisions, outcome, numbers = played.decisions, played.outcome, (first + played.episodes).tolist()
    times = simulated_times(first + played.episodes + played.step)
    candidates, probabilities = _listed(task, played.candidates, decisions.probabilities)
    ids = pa.array(played.candidates.ids, pa.string())
    table = decision_table(
        task,
        event_id=[f"simulated-{run}-{number}-{played.step}" for number in numbers],
        timestamp=pa.array(times, TIME),
        policy_version=version,
        context=context_array(task, played.contexts),
        action=ids.take(pa.array(decisions.actions)),
        propensity=decisions.propensities,
        probabilities=probabilities,
        candidates=candidates,
        mode="simulated",
        episode_id=[f"simulated-{run}-{number}" for number in numbers],
        step=played.step,
        terminal=outcome.terminal,
        truncated=outcome.truncated,
    )
    return table.append_column(interaction_schema(task).field("reward"), pa.array(task.rewards.clip(outcome.rewards)))


def _listed(task: Task, candidates: Candidates, probabilities: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """Each row's candidates and their probabilities. No candidates are listed if all numbered actions are eligible."""
    mask = candidates.mask(len(probabilities))
    rows, positions = np.nonzero(mask)
    ends = pa.array(np.concatenate([[0], mask.sum(axis=1).cumsum()]), pa.int32())
    chosen_from = pa.ListArray.from_arrays(ends, pa.array(candidates.ids, pa.string()).take(pa.array(positions)))
    if task.numbered and candidates.eligible is None and candidates.ids == task.action_ids:
        chosen_from = pa.array([[]] * len(mask), chosen_from.type)
    return chosen_from, pa.ListArray.from_arrays(ends, probabilities[rows, positions]).cast(DOUBLES)
