"""Episodes of simulated users, whose actions the endpoint chooses."""

import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.episodic import Episodes, EpisodicEnvironment, Steps, episode_seeds
from banditloop.rl_core.environments.history import chosen_actions
from banditloop.rl_core.events.contexts import context_rows, take
from banditloop.rl_core.events.decision import Decision
from banditloop.rl_core.events.rows import Row, reward_row
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.rollouts.play import step_limit, take_step
from banditloop.rl_core.settings.loop import TERMINAL, TRUNCATED


class Visited(NamedTuple):
    """What users did: numbers of decisions, of the events about them, and what a user earned on average."""

    decisions: int
    events: int
    earned: float


def play_visit(
    config: Config, platform: Platform, environment: EpisodicEnvironment, users: int, seed: int | None
) -> Visited:
    """Play an episode for each user, and publish what every step earned as it comes.

    Each step sends one request for all running episodes. The last step of an episode has an event that it ended.

    Raises:
        InvalidInput: nothing is serving.
    """
    seeds = episode_seeds(uuid.uuid4().int if seed is None else seed, 0, users)
    ids = [uuid.uuid4().hex for _ in range(users)]
    episodes, running = environment.reset(seeds), np.arange(users)
    decided, sent, earned = 0, 0, 0.0
    limit = step_limit(environment, config.max_steps)
    for step in range(limit):
        decisions = platform.endpoint.predict(_instances(environment, episodes, running, ids, step))
        actions = chosen_actions(environment.task, [str(decision.action) for decision in decisions])
        outcome = take_step(episodes, running, actions, users, is_last=step == limit - 1)
        outcome = outcome._replace(rewards=config.task.rewards.clip(outcome.rewards))
        events = _events(config.reward.name, decisions, outcome)
        platform.bus.publish("rewards", orjson.dumps(events))
        decided, sent = decided + len(decisions), sent + len(events)
        earned += float(outcome.rewards.sum())
        running = running[~outcome.ended]
        if not len(running):
            break
    return Visited(decided, sent, earned / users)


def _instances(
    environment: EpisodicEnvironment, episodes: Episodes, running: np.ndarray, ids: list[str], step: int
) -> list[dict[str, Any]]:
    """The instances of a predict request for a step of the running episodes [R]."""
    contexts, listed = take(episodes.contexts, running), episodes.candidates()
    rows = context_rows({name: contexts[name] for name in environment.task.context if name in contexts})
    return [
        {"context": row, "episode_id": ids[episode], "step": step} | ({"actions": listed[episode]} if listed else {})
        for row, episode in zip(rows, running.tolist(), strict=True)
    ]


def _events(name: str, decisions: list[Decision], outcome: Steps) -> list[Row]:
    """The rewards of a step's decisions, and which episodes ended or were cut off with it."""
    now = datetime.now(UTC)
    values = [(name, outcome.rewards.tolist()), (TERMINAL, outcome.terminal), (TRUNCATED, outcome.truncated)]
    return [
        reward_row(event_id=decision.event_id, name=kind, value=float(value), timestamp=now, source_id="simulator")
        for kind, column in values
        for decision, value in zip(decisions, column, strict=True)
        if value or kind == name
    ]
