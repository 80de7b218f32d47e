"""Transitions: rows of the timeline as sequential agents and estimators read them, and training on them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.agents import Statistics, Transitions
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.propensities import has_unknown_propensity
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.training.train import checked_contexts, eligible_actions, finite, sample_weight, to_arrays


def train_on_episodes(
    config: Config, encoding: Encoding, tables: Iterable[pa.Table], statistics: Statistics
) -> Statistics:
    """The statistics after a training on transitions, on all of them at once.

    They are sorted by episode, since a log has no order of its own: the result must not depend on how it is read.

    Raises:
        InvalidInput: a row does not fit the encoding, or what was trained is not finite.
    """
    assert config.episodes is not None  # the caller's branch
    rows = pa.concat_tables(tables).sort_by([("episode_id", "ascending"), ("ordinal", "ascending")])
    return finite(config.agent.update(statistics, [transitions(rows, encoding, config.episodes)]))  # type: ignore[list-item]


def transitions(table: pa.Table, encoding: Encoding, section: EpisodesSection) -> Transitions:
    """The transitions of rows of `events.transitions.transition_schema`, in their order.

    A return sums the rewards of up to section.multi_step steps, each discounted by γ to the power of the steps before
    it; the value of the next observation is then added. It ends earlier where the episode ends, where the next decision
    is missing in the table, and before the last step of an episode that was cut off, since nothing is known of what
    follows that step.

    Raises:
        InvalidInput: a context or an action does not fit the encoding; names the interaction.
    """
    observations, actions, rewards = to_arrays(table, encoding)
    followed = table["next_action"].is_valid().to_numpy()
    returns = _returns(table, rewards, followed, section)
    next_observations = encoding.context.encode(checked_contexts(table, encoding.context, "next_context"))
    next_eligible = _next_eligible(table, encoding)
    return Transitions(
        observations,
        actions,
        returns.rewards,
        next_observations[returns.last],
        returns.discounts,
        followed | table["terminal"].to_numpy(),
        np.cumsum(starts_episode(table)) - 1,
        table["steps_since_first"].to_numpy(),
        _propensities(table),
        sample_weight(table),
        eligible_actions(table, encoding.action_ids),
        None if next_eligible is None else next_eligible[returns.last],
    )


class _Returns(NamedTuple):
    """Discounted sums of rewards [B], the row that each ends with [B], and the discounts of what follows it [B]."""

    rewards: np.ndarray
    last: np.ndarray
    discounts: np.ndarray


def _returns(table: pa.Table, rewards: np.ndarray, followed: np.ndarray, section: EpisodesSection) -> _Returns:
    """The return of every row; followed [B]: whether the log has a next decision."""
    terminal, steps_to_next = table["terminal"].to_numpy(), table["steps_to_next"].to_numpy()
    sums, last, steps = rewards.astype(np.float64), np.arange(len(rewards)), steps_to_next.astype(np.int64)
    continues = ~starts_episode(table)[1:] & (np.diff(table["ordinal"].to_numpy()) == 1)
    can_extend = np.append(continues & (followed | terminal)[1:], False)
    for _ in range(section.multi_step - 1):
        rows = np.flatnonzero(can_extend[last])
        if not len(rows):
            break
        last[rows] += 1
        sums[rows] += section.discount ** steps[rows] * rewards[last[rows]]
        steps[rows] += steps_to_next[last[rows]]
    return _Returns(sums, last, np.where(followed[last], section.discount**steps, 0.0))


def starts_episode(table: pa.Table) -> np.ndarray:
    """Whether a row is the first of its episode in the table, bool [B]."""
    first = np.ones(table.num_rows, bool)
    if table.num_rows > 1:
        episodes = table["episode_id"].combine_chunks()
        first[1:] = pc.not_equal(episodes[1:], episodes[:-1]).to_numpy(zero_copy_only=False)
    return first


def _propensities(table: pa.Table) -> np.ndarray:
    """The propensities [B]; NaN where they are unknown."""
    return np.where(has_unknown_propensity(table).to_numpy(), np.nan, table["propensity"].to_numpy())


def _next_eligible(table: pa.Table, encoding: Encoding) -> np.ndarray | None:
    """The actions that the next decision of each row could take, bool [B, actions]; None: all of them.

    A row without a list of them, as those of numbered actions, can take all.
    """
    lists = table["next_candidates"]
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    positions = pc.index_in(pc.list_flatten(lists), pa.array(encoding.action_ids, pa.string())).fill_null(-1).to_numpy()
    eligible = np.zeros((len(lengths), len(encoding.action_ids) + 1), bool)  # the last column: of unknown actions
    eligible[np.repeat(np.arange(len(lengths)), lengths), positions] = True
    eligible[lengths == 0] = True
    eligible = eligible[:, :-1]
    return None if eligible.all() else eligible
