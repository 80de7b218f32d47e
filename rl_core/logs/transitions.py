"""The timeline of a log in files: the same rows as `Warehouse.transitions` gives of a loop's log."""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.timeline import transitions_of
from banditloop.rl_core.logs.events import LoggedEvents
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task


def transitions(
    log: Iterable[LoggedEvents], task: Task, episodes: EpisodesSection, reward: RewardSection, left_out: Counter[str]
) -> Iterator[pa.RecordBatch]:
    """The transitions of all episodes, which are taken to be complete. The log is held in memory.

    left_out: the numbers of decisions that are no transitions, by the names of EpisodeCounts, are added to it.
    """
    events = list(log)
    decisions, rewards = (pa.concat_tables(getattr(each, name) for each in events) for name in ("decisions", "rewards"))
    in_episodes = decisions.filter(pc.and_(decisions["episode_id"].is_valid(), decisions["step"].is_valid()))
    rows, ordinals = _timeline(in_episodes, episodes.max_steps, left_out)
    left_out["without_episode"] += decisions.num_rows - in_episodes.num_rows
    ordered = in_episodes.take(pa.array(rows))
    ordered = ordered.append_column("is_terminal", [pc.fill_null(ordered["terminal"], False).combine_chunks()])
    ordered = ordered.append_column("ordinal", [pa.array(ordinals)])
    for place, name in enumerate(episodes.value_names(reward.name)):
        named = rewards.filter(pc.equal(rewards["name"], name))
        places = pc.index_in(ordered["event_id"], named["event_id"].combine_chunks()).combine_chunks()
        ordered = ordered.append_column(f"value_{place}", [named["value"].combine_chunks().take(places)])
    return transitions_of(ordered.combine_chunks().to_batches(), task, episodes, reward)


def _timeline(decisions: pa.Table, max_steps: int, left_out: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the timeline, by episode in the order of their first rows, then by step; and the rows' ordinals."""
    episodes = decisions["episode_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    steps = decisions["step"].to_numpy()
    ends = pc.or_(pc.fill_null(decisions["terminal"], False), pc.fill_null(decisions["truncated"], False)).to_numpy()
    order = np.lexsort((np.arange(len(steps)), steps, episodes))
    same_step = (np.diff(steps[order]) == 0) & (np.diff(episodes[order]) == 0)
    first = order[np.append(True, ~same_step)] if len(order) else order
    left_out["repeated"] += len(order) - len(first)
    starts = np.searchsorted(episodes[first], episodes[first])  # the place of each row's episode
    ended = np.append(0, ends[first].cumsum())
    ordinals = np.arange(len(first)) - starts
    kept = (ended[:-1] == ended[starts]) & (ordinals < max_steps)
    left_out["after_end"] += int((~kept).sum())
    return first[kept], ordinals[kept]
