"""One pass over the log for the release report: rewards, observations and the champion's greedy value."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.estimators import SNIPS
from banditloop.rl_core.evaluation.interactions import Interactions, scaled_interactions
from banditloop.rl_core.events.candidates import logged_ids
from banditloop.rl_core.events.schema import split_by_version
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.features.encoding import with_features_of
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.reports.action_totals import ActionTotals
from banditloop.rl_core.reports.drift import SAMPLE_ROWS, ObservationSample, RewardStats, greedy_terms

PERIODS = 30  # equal periods since the champion's training


class Period(NamedTuple):
    """The rewards of a version up to the end of one period."""

    version: str
    until: datetime
    interactions: int  # of all versions so far
    mean_reward: float  # of this version so far, in [0, 1]
    bounds: tuple[float, float]


@dataclass
class LogReading:
    """What one pass over the log adds up."""

    rewards: dict[str, RewardStats] = field(default_factory=dict)  # by version
    periods: list[Period] = field(default_factory=list)
    training: ObservationSample = field(default_factory=ObservationSample)  # until the champion's training
    recent: ObservationSample = field(default_factory=ObservationSample)  # since then
    first_half: RewardStats = field(default_factory=RewardStats)  # of the champion's rewards
    second_half: RewardStats = field(default_factory=RewardStats)
    greedy: SNIPS = field(default_factory=SNIPS)  # the champion's greedy value
    interactions: int = 0
    feature_names: list[str] = field(default_factory=list)  # of the champion's observations
    actions: ActionTotals = field(default_factory=lambda: ActionTotals({}))

    def add_champion(self, policy: SavedPolicy, observations: np.ndarray, batch: Interactions, half: int) -> None:
        """Add interactions of the champion with their observations [B, dim]; `half` of them make its first half."""
        remaining = half - self.first_half.count
        self.first_half.add(batch.rewards[:remaining])
        self.second_half.add(batch.rewards[remaining:])
        self.greedy.add(greedy_terms(policy, observations, batch))

    def end_period(self, version: str, until: datetime) -> None:
        """Keep a version's rewards so far as a period's."""
        rewards = self.rewards[version]
        self.periods.append(Period(version, until, self.interactions, rewards.mean(), rewards.bounds.interval()))


def read_log(config: Config, platform: Platform, champion: Manifest, half: int) -> LogReading:
    """Read the whole log once; `half` is half the number of the champion's interactions."""
    policy = SavedPolicy.load(platform.endpoint.policy(champion.version))
    exploration = {manifest.version: manifest.exploration for manifest in platform.endpoint.versions()}
    reading = LogReading(feature_names=policy.encoding.context.names, actions=ActionTotals(exploration))
    before, since = _windows(platform, champion)
    warehouse = platform.warehouse.reading(with_features_of(config.task, [policy.encoding]))
    usable = UsableInteractions(config.task, action_counts(platform.endpoint))
    for window in [*before, *since]:
        sample, windows = (reading.recent, since) if window in since else (reading.training, before)
        versions = set()
        tables = itertools.chain.from_iterable(map(split_by_version, usable.of(warehouse.interactions(window))))
        for version, table in tables:
            batch = scaled_interactions(config, table, logged_ids(table))
            observations = policy.observations(batch.contexts)
            reading.rewards.setdefault(version, RewardStats()).add(batch.rewards)
            sample.add(observations, SAMPLE_ROWS // len(windows))
            if version == champion.version:
                reading.add_champion(policy, observations, batch, half)
            reading.actions.add(version, batch, table["propensity"].to_numpy())
            reading.interactions += len(batch.rewards)
            versions.add(version)
        for version in sorted(versions):
            reading.end_period(version, window.until)
    return reading


def _windows(platform: Platform, champion: Manifest) -> tuple[list[Window], list[Window]]:
    """The log in windows: one per training until the champion's, and PERIODS of equal length since."""
    trained_until = champion.window.until
    trainings = [m.window.until for m in platform.endpoint.versions() if m.window.until <= trained_until]
    end = platform.warehouse.window(trained_until).until
    step = (end - trained_until) / PERIODS
    times = [trained_until + step * number for number in range(PERIODS)] + [end]
    return _consecutive_windows([None, *trainings]), _consecutive_windows(times)


def _consecutive_windows(times: Sequence[datetime | None]) -> list[Window]:
    """The windows between consecutive times, without empty ones; None is the beginning of the log."""
    return [
        Window(since=since, until=until, interactions=0)
        for since, until in itertools.pairwise(times)
        if until and since != until
    ]
