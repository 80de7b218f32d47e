"""Comparison of two policies by the returns of episodes: betting tests updated with a window of the log."""

from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.estimators.anytime_valid import BettingTest
from banditloop.rl_core.evaluation.episodes.decisions import EpisodeDecisions

Tests = tuple[BettingTest, BettingTest]


def add_episodes(candidate: Logged, champion: Logged, better: BettingTest, worse: BettingTest) -> Tests:
    """Update the evidence that the candidate earns more, and less, with episodes in the order of time."""
    return better.add(candidate, champion), worse.add_losses(candidate, champion)


def add_by_version(
    episodes: EpisodeDecisions, champion: int, challenger: int, better: BettingTest, worse: BettingTest
) -> Tests:
    """Update the evidence that the challenger earns more, and less, by the version that answered each episode.

    An A/B test: what the versions do in their episodes does not matter, so episodes may be of any length. Episodes with
    an unknown share of the traffic are left out.
    """
    shared = (episodes.answered_by >= 0) & (episodes.mix[:, [champion, challenger]] > 0).all(axis=1)
    both = episodes.where(shared)
    return add_episodes(both.of_version(challenger), both.of_version(champion), better, worse)
