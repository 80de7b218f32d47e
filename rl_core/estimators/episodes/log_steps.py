"""Rows of a table as steps of episodes: sorted, checked, and with the discounts between them."""

from typing import Any

import numpy as np

from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.errors import InvalidInput, brief
from banditloop.rl_core.estimators import frames


def sorted_rows(log: Any, episode_id: frames.Column, step: frames.Column) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positions of the rows by episode and step [B], and in this order the episodes' numbers and the steps [B].

    Episodes are numbered in the order of their first rows, steps from 0 on.

    Raises:
        InvalidInput: an id is missing, a step is no whole number, or an episode has one twice; names the row.
    """
    ids, numbers = frames.column(log, episode_id, "episode_id").tolist(), frames.numbers(log, step, "step")
    if not ids:
        raise InvalidInput("log: has no rows")
    frames.check_rows(len(ids), {"step": numbers})
    missing = [row for row, value in enumerate(ids) if frames.is_missing(value)]
    if missing:
        raise InvalidInput(f"episode_id, row {missing[0]}: {brief(ids[missing[0]])}: give the id of the episode")
    frames.check_range("step", numbers, numbers == np.floor(numbers), "give a whole number")
    number_of = {value: number for number, value in enumerate(dict.fromkeys(ids))}
    episodes = np.array([number_of[value] for value in ids])
    order = np.lexsort((numbers, episodes))
    episodes, steps = episodes[order], numbers[order]
    is_repeated = np.append(False, (episodes[1:] == episodes[:-1]) & (steps[1:] == steps[:-1]))
    if is_repeated.any():
        row = int(order[np.argmax(is_repeated)])
        raise InvalidInput(f"step, row {row}: {numbers[row]:g}: the episode {brief(ids[row])} has it twice")
    firsts = steps[np.searchsorted(episodes, episodes)]
    return order, episodes, steps - firsts


def check_one_weight(order: np.ndarray, episodes: np.ndarray, weights: np.ndarray) -> None:
    """InvalidInput: an episode has rows of different sample weights.

    order: the positions of the rows in the log, for the message; weights: of the sorted rows.
    """
    differs = np.append(False, (episodes[1:] == episodes[:-1]) & ~np.isclose(weights[1:], weights[:-1]))
    if differs.any():
        row = int(np.argmax(differs))
        hint = f"its episode has {weights[row - 1]:g} in row {order[row - 1]}; give all rows of an episode the same"
        raise InvalidInput(f"sample_weight, row {order[row]}: {weights[row]:g}: {hint}")


def transitions(
    episodes: np.ndarray,
    steps: np.ndarray,
    discount: float,
    reward: np.ndarray,
    propensity: np.ndarray,
    terminal: np.ndarray | None = None,
    truncated: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> Transitions:
    """Sorted steps as transitions, without observations, all of action 0.

    terminal, truncated: not 0 where the episode ended, or was cut off, with the step. With `terminal`, an episode that
    did not end was cut off.

    Raises:
        InvalidInput: an episode goes on after it ended.
    """
    follows = np.append(episodes[1:] == episodes[:-1], False)
    is_cut = np.zeros(len(episodes), bool) if truncated is None else truncated != 0
    for name, flags in (("terminal", terminal), ("truncated", truncated)):
        if flags is not None and (follows & (flags != 0)).any():
            raise InvalidInput(f"{name}: an episode goes on after a decision that ended it")
    if terminal is not None:
        is_cut = ~follows & (terminal == 0)
    no_observations = np.zeros((len(episodes), 0))
    return Transitions(
        observations=no_observations,
        actions=np.zeros(len(episodes), int),
        rewards=reward,
        next_observations=no_observations,
        discounts=np.where(follows, discount ** np.append(np.diff(steps), 0.0).clip(0), 0.0),
        is_known=~is_cut,
        episodes=episodes,
        steps=steps,
        propensities=propensity,
        sample_weight=sample_weight,
    )
