"""Comparison of two policies by the returns of episodes: betting tests updated with a window of the log."""

from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evaluation.episodes.decisions import EpisodeDecisions
from banditloop.rl_core.evaluation.episodes.targets import Targets
from banditloop.rl_core.evaluation.episodes.window import EpisodeWindow
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.policies.saved_policy import SavedPolicy

Tests = tuple[BettingTest, BettingTest]


def compare_episodes(
    window: EpisodeWindow,
    champion: SavedPolicy | None,
    candidate: SavedPolicy,
    better: BettingTest,
    worse: BettingTest,
) -> Tests:
    """Update the evidence that the candidate earns more, and less, with a window that neither was trained on.

    Each episode is one decision, whose weight is the product of its steps' weights: short episodes can decide, but
    long ones hardly count. champion None: the logging policy. Episodes of unknown policies are evidence against a
    champion only if their least propensity is known.
    """
    if not window.episodes:
        return better, worse
    targets = Targets(window)
    episodes = targets.decisions(candidate)
    unbounded = champion is not None and not window.least_propensity
    rows = episodes.answered_by >= (0 if unbounded else -1)
    of_candidate, of_champion = (
        episodes.where(rows).of_the_log() if policy is None else targets.as_target(episodes, policy, rows)
        for policy in (candidate, champion)
    )
    return add_episodes(of_candidate, of_champion, better, worse)


def compare_versions(
    window: EpisodeWindow, champion: str, challenger: SavedPolicy, better: BettingTest, worse: BettingTest
) -> Tests:
    """Update the evidence by the version that answered each episode; see `add_by_version`."""
    versions = list(window.policies)
    if not window.episodes or not {champion, challenger.manifest.version} <= set(versions):
        return better, worse
    sides = versions.index(champion), versions.index(challenger.manifest.version)
    return add_by_version(Targets(window).decisions(challenger), *sides, better, worse)


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
