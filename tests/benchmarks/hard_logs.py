"""Logs on which intervals are hard to get right, each with the true value of the target policy or of a difference.

A log is made by `HARD_LOGS[name](rows, random)`. Its bound `max_weight` is that which the propensities imply.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.estimators import Logged


class HardLog(NamedTuple):
    """Decisions with the target policy, the true value; and the champion's, if the value is of the difference."""

    target: Logged
    truth: float
    champion: Logged | None = None


def uniform(
    rows: int, random: np.random.Generator, means: np.ndarray, binary: bool = True, model: float = 1
) -> HardLog:
    """Logged uniformly; the target prefers the last action. The reward model is `model` times the true means."""
    actions = len(means)
    target = np.full(actions, 0.3 / actions) + 0.7 * np.eye(actions)[-1]
    action = random.integers(actions, size=rows)
    reward = (random.random(rows) < means[action]).astype(float) if binary else means[action]
    predicted, expected = model * means[action], np.full(rows, model * float(target @ means))
    propensity = np.full(rows, 1 / actions)
    log = Logged(reward, propensity, target[action], predicted, expected, max_weight=float(target.max() * actions))
    return HardLog(log, float(target @ means))


def on_policy(rows: int, random: np.random.Generator, mean: float) -> HardLog:
    """The target's own log."""
    half, model = np.full(rows, 0.5), np.full(rows, mean)
    return HardLog(Logged((random.random(rows) < mean).astype(float), half, half, model, model), mean)


def explored(rows: int, random: np.random.Generator, exploration: float, changed: float, actions: int = 100) -> HardLog:
    """The champion's log with little exploration; the target's best action differs for a fraction of the users.

    The reward model is wrong: 0.3 for every action; true are 0.3 for the champion's action, 0.6 for the target's.
    """
    others = random.random(rows) < changed
    floor = exploration / actions
    action = np.where(random.random(rows) < 1 - exploration, 0, random.integers(actions, size=rows))
    champion = np.where(action == 0, 1 - exploration + floor, floor)
    target = np.where(action == np.where(others, 1, 0), 1 - exploration + floor, floor)
    means = np.where(action == 0, 0.3, np.where(action == 1, 0.6, 0.2))
    reward, model = (random.random(rows) < means).astype(float), np.full(rows, 0.3)
    limit = (1 - exploration + floor) / floor
    of_target = Logged(reward, champion, target, model, model, max_weight=limit)
    gain = changed * (1 - exploration) * 0.3
    value = (1 - exploration) * 0.3 + floor * (0.3 + 0.6 + (actions - 2) * 0.2) + gain
    return HardLog(of_target, value)


def paired(rows: int, random: np.random.Generator, exploration: float, changed: float, level: float) -> HardLog:
    """The difference between a candidate and the champion on the champion's log, as of `explored` with 10 actions.

    Rewards are `level` times as frequent.
    """
    log, _, _ = explored(rows, random, exploration, changed, actions=10)
    reward = log.reward * (random.random(rows) < level)
    model = np.full(rows, 0.3 * level)
    target = Logged(reward, log.propensity, log.target, model, model, max_weight=log.max_weight)
    champion = Logged(reward, log.propensity, log.propensity, model, model)
    return HardLog(target, changed * (1 - exploration) * 0.3 * level, champion)


def heavy(rows: int, random: np.random.Generator, limit: float) -> HardLog:
    """Propensities of the target's only action from 1 / limit to 1, evenly in their logarithm, and its mean reward."""
    position = random.random(rows)
    propensity = np.exp(-position * np.log(limit))
    taken = random.random(rows) < propensity
    reward = taken * (random.random(rows) < 0.2 + 0.6 * position)
    model = np.full(rows, 0.3)
    own = np.where(taken, propensity, 1 - propensity)
    return HardLog(Logged(reward, own, taken * 1.0, model, model, max_weight=limit), 0.5)


def several(rows: int, random: np.random.Generator, balanced: bool) -> HardLog:
    """Two policies logged, one of which rarely takes the target's action; balanced: under their mixture."""
    policies, target, means = np.array([[0.02, 0.98], [0.9, 0.1]]), np.array([0.9, 0.1]), np.array([0.02, 0.01])
    by = random.integers(2, size=rows)
    action = (random.random(rows) > policies[by, 0]).astype(int)
    propensity = policies.mean(axis=0)[action] if balanced else policies[by, action]
    limit = (target / policies.mean(axis=0)).max() if balanced else (target / policies).max()
    reward, value = (random.random(rows) < means[action]).astype(float), float(target @ means)
    model = np.full(rows, 0.0)
    return HardLog(Logged(reward, propensity, target[action], model, model, max_weight=float(limit)), value)


def sampled(rows: int, random: np.random.Generator) -> HardLog:
    """Half of the traffic is logged with a probability of a tenth, and has other rewards."""
    weight = np.where(random.random(rows) < 1 / 11, 10.0, 1.0)
    action, reward = (
        random.integers(4, size=rows),
        (random.random(rows) < np.where(weight > 1, 0.05, 0.02)).astype(float),
    )
    target = np.where(action == 0, 0.7, 0.1)
    model = np.full(rows, 0.03)
    uniform = np.full(rows, 0.25)
    return HardLog(Logged(reward, uniform, target, model, model, 2.8, weight * 11 / 20), 0.035)


def tenth(low: float, high: float) -> np.ndarray:
    """Mean rewards of ten actions."""
    return np.linspace(low, high, 10)


HARD_LOGS: dict[str, Callable[[int, np.random.Generator], HardLog]] = {
    "rewards of 1 in 1,000": partial(uniform, means=tenth(0.001, 0.001)),
    "rewards of 1 in 1,000, own log": partial(on_policy, mean=0.001),
    "rewards of 1 in 100, own log": partial(on_policy, mean=0.01),
    "rewards of 1 in 2, own log": partial(on_policy, mean=0.5),
    "constant reward 0": partial(uniform, means=tenth(0, 0), binary=False),
    "constant reward 0.3": partial(uniform, means=tenth(0.3, 0.3), binary=False),
    "constant reward 1": partial(uniform, means=tenth(1, 1), binary=False),
    "an exact model": partial(uniform, means=tenth(0.2, 0.8)),
    "a wrong model": partial(uniform, means=tenth(0.2, 0.8), model=0.2),
    "exploration .01 of 100 actions": partial(explored, exploration=0.01, changed=1.0),
    "the same, 30 % of users changed": partial(explored, exploration=0.01, changed=0.3),
    "the same, 2 % of users changed": partial(explored, exploration=0.01, changed=0.02),
    "weights up to 10": partial(heavy, limit=10),
    "weights up to 1,000": partial(heavy, limit=1000),
    "two loggers": partial(several, balanced=False),
    "two loggers, balanced": partial(several, balanced=True),
    "sampled logging": sampled,
    "difference, exploration .1": partial(paired, exploration=0.1, changed=0.3, level=1.0),
    "difference, exploration .01": partial(paired, exploration=0.01, changed=0.1, level=1.0),
    "difference, rare rewards": partial(paired, exploration=0.1, changed=0.3, level=0.01),
    "difference of equal policies": partial(paired, exploration=0.1, changed=0.0, level=1.0),
}
