"""Logs of episodes in which one of two actions is right at every step, as evidence is taken from them."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np

from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evaluation.episodes.comparison import Tests, add_episodes
from banditloop.rl_core.evaluation.episodes.decisions import EpisodeDecisions
from banditloop.rl_core.evaluation.episodes.returns import predicted_returns
from banditloop.rl_core.evidence.anytime_valid import BettingTest

UNIFORM, TRAINED = 0.5, 0.85  # probability of the right action, of the random policy and of a trained one


def log_probabilities(right: np.ndarray, probability: float) -> np.ndarray:
    """Of the actions of episodes, right or not, bool [E, steps], by a policy with this probability of right ones."""
    return np.log(np.where(right, probability, 1 - probability)).sum(axis=1)


def played(steps: int, episodes: int, probability: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which actions were right, bool [E, steps], and the returns [E]: the share of right ones of noisy steps."""
    random = np.random.default_rng(seed)
    right = random.random((episodes, steps)) < probability
    return right, (right * (random.random((episodes, steps)) < 0.8)).mean(axis=1)


def logged_alone(steps: int, right: np.ndarray, returns: np.ndarray, probability: float) -> EpisodeDecisions:
    """Episodes that a policy with this probability of right actions answered alone."""
    zeros, ones = np.zeros(len(returns), int), np.ones((len(returns), 1))
    floor = steps * np.log(min(probability, 1 - probability))
    predicted = predicted_returns(np.full(len(returns), 0.5), returns)
    logged = log_probabilities(right, probability)
    return EpisodeDecisions(returns, predicted, logged, zeros, ones, np.array([floor]))


def held_out(
    steps: int, episodes: int, champion: float, candidate: float, seed: int, checks: int = 1
) -> Iterator[Tests]:
    """The evidence that the candidate earns more, and less, after each check of episodes that the champion answered."""
    right, returns = played(steps, episodes, champion, seed)
    log, tests = logged_alone(steps, right, returns, champion), (BettingTest(), BettingTest())
    logs = log.as_target(log_probabilities(right, candidate)), log.as_target(log.log_propensity, 0)
    for rows in np.array_split(np.arange(episodes), checks):
        tests = add_episodes(*(part(logged, rows) for logged in logs), *tests)
        yield tests


def part(logged: Logged, rows: np.ndarray) -> Logged:
    """Some of the decisions, by position."""
    return replace(
        logged, **{f.name: getattr(logged, f.name)[rows] for f in fields(logged) if f.name != "sample_weight"}
    )


def shared(canary: float, steps: int, episodes: int, share: float, seed: int) -> EpisodeDecisions:
    """Episodes of a champion that acts uniformly, and of a canary with this probability of right actions."""
    by_canary = np.random.default_rng(seed).random(episodes) < share
    plays = [played(steps, episodes, probability, seed + side) for side, probability in enumerate((UNIFORM, canary))]
    returns = np.where(by_canary, plays[1][1], plays[0][1])
    predicted = predicted_returns(np.zeros(episodes), returns)
    mix = np.tile([1 - share, share], (episodes, 1))
    return EpisodeDecisions(returns, predicted, np.zeros(episodes), by_canary.astype(int), mix, np.zeros(2))
