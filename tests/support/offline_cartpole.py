"""CartPole learned offline: a log of random episodes, and how long the policy learned from it balances the pole."""

import time
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from banditloop.rl_core.agents import Model
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.episodic import EpisodicEnvironment
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.contexts import Contexts, context_array
from banditloop.rl_core.events.timeline import transitions_of
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.saved_policy import Decisions, draw_actions
from banditloop.rl_core.rollouts import returns, rollouts
from banditloop.rl_core.training.train import initial_statistics
from banditloop.rl_core.training.training import fit_encoding
from banditloop.rl_core.training.transitions import train_on_episodes

TEST_SEED, TEST_EPISODES = 1_000_000, 50


class Learned(NamedTuple):
    """The mean length of greedy episodes, and the seconds of CPU that training took."""

    length: float
    seconds: float


def learned(seed: int, episodes: int, agent: dict[str, Any], max_steps: int = 200) -> Learned:
    """What an agent learns from the random episodes of a seed."""
    config = Config.parse({"environment": {"name": "cartpole", "max_steps": max_steps}, "agent": agent})
    table = timeline(config, seed, episodes)
    encoding = fit_encoding(Encoding.unfitted(config.task), [table])
    start = time.process_time()
    statistics = train_on_episodes(config, encoding, [table], initial_statistics(config, encoding, None))
    spent, model = time.process_time() - start, config.agent.model(statistics)
    return Learned(_greedy_length(config, encoding, model), spent)


def timeline(config: Config, seed: int, episodes: int) -> pa.Table:
    """The transitions of random episodes."""
    assert isinstance(config.environment, EpisodicEnvironment) and config.episodes
    table = rollouts(None, config.environment, seed, episodes)
    columns = {"ordinal": table["step"], "is_terminal": table["terminal"], "value_0": table["reward"]}
    for name, column in columns.items():
        table = table.append_column(name, column)
    batches = table.combine_chunks().to_batches()
    return pa.Table.from_batches(transitions_of(batches, config.task, config.episodes, config.reward))


def _greedy_length(config: Config, encoding: Encoding, model: Model) -> float:
    def choose(contexts: Contexts, candidates: Candidates, uniforms: np.ndarray) -> Decisions:
        observations = encoding.context.encode(context_array(config.task, contexts))
        return draw_actions(np.eye(len(candidates.ids))[model.greedy_actions(observations)], uniforms)

    assert isinstance(config.environment, EpisodicEnvironment)
    return float(returns(choose, config.environment, TEST_SEED, TEST_EPISODES).lengths.mean())
