"""One pass over the newest part of the log for the release report: rewards, observations, champion's greedy value."""

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
from banditloop.rl_core.promotion.begun_episodes import BEGINNING
from banditloop.rl_core.reports.action_totals import ActionTotals
from banditloop.rl_core.reports.drift import SAMPLE_ROWS, ObservationSample, RewardStats, greedy_terms
from banditloop.rl_core.reports.newest import newest

PERIODS = 30  # equal periods since the champion's training
MAX_INTERACTIONS = 100_000  # read since the champion's training, and as many before


class Period(NamedTuple):
    """The rewards of a version up to the end of one period."""

    version: str
    until: datetime
    interactions: int  # of all versions so far
    mean_reward: float  # of this version so far, in [0, 1]
    bounds: tuple[float, float]


@dataclass
class LogReading:
    """The sums of one pass over the newest part of the log."""

    whole: bool = True  # whether nothing of the log was left out
    rewards: dict[str, RewardStats] = field(default_factory=dict)  # by version
    periods: list[Period] = field(default_factory=list)
    training: ObservationSample = field(default_factory=ObservationSample)  # until the champion's training
    recent: ObservationSample = field(default_factory=ObservationSample)  # since then
    champion: list[np.ndarray] = field(default_factory=list)  # its rewards, in [0, 1]
    greedy: SNIPS = field(default_factory=SNIPS)  # the champion's greedy value
    interactions: int = 0
    feature_names: list[str] = field(default_factory=list)  # of the champion's observations
    actions: ActionTotals = field(default_factory=lambda: ActionTotals({}))

    def add_champion(self, policy: SavedPolicy, observations: np.ndarray, batch: Interactions) -> None:
        """Add interactions of the champion with their observations [B, dim]."""
        self.champion.append(batch.rewards)
        self.greedy.add(greedy_terms(policy, observations, batch))

    def halves(self) -> tuple[RewardStats, RewardStats]:
        """The champion's rewards, the first half and the second."""
        rewards = np.concatenate([np.empty(0), *self.champion])
        halves = RewardStats(), RewardStats()
        for half, part in zip(halves, np.split(rewards, [len(rewards) // 2]), strict=True):
            half.add(part)
        return halves

    def end_period(self, version: str, until: datetime) -> None:
        """Keep a version's rewards so far as a period's."""
        rewards = self.rewards[version]
        self.periods.append(Period(version, until, self.interactions, rewards.mean(), rewards.bounds.interval()))


def read_log(config: Config, platform: Platform, champion: Manifest) -> LogReading:
    """Read the newest part of the log once: at most MAX_INTERACTIONS since the champion's training, as many before."""
    policy = SavedPolicy.load(platform.endpoint.policy(champion.version))
    warehouse = platform.warehouse.reading(with_features_of(config.task, [policy.encoding]))
    before, since, whole = _windows(platform, champion)
    exploration = {manifest.version: manifest.exploration for manifest in platform.endpoint.versions()}
    names = policy.encoding.context.names
    reading = LogReading(feature_names=names, actions=ActionTotals(exploration), whole=whole)
    usable = UsableInteractions(config.task, action_counts(platform.endpoint))
    for window in [*before, *since]:
        sample, windows = (reading.recent, since) if window in since else (reading.training, before)
        versions, limit = set(), sample.rows + SAMPLE_ROWS // len(windows)
        tables = itertools.chain.from_iterable(map(split_by_version, usable.of(warehouse.interactions(window))))
        for version, table in tables:
            batch = scaled_interactions(config, table, logged_ids(table))
            observations = policy.observations(batch.contexts)
            reading.rewards.setdefault(version, RewardStats()).add(batch.rewards)
            sample.add(observations, limit)
            if version == champion.version:
                reading.add_champion(policy, observations, batch)
            reading.actions.add(version, batch, table["propensity"].to_numpy())
            reading.interactions += len(batch.rewards)
            versions.add(version)
        for version in sorted(versions):
            reading.end_period(version, window.until)
    return reading


def _windows(platform: Platform, champion: Manifest) -> tuple[list[Window], list[Window], bool]:
    """The newest part of the log: windows up to the champion's training, windows since, and whether this is all of it.

    Those before are the windows of the latest trainings; those since are PERIODS of equal length.
    """
    trained_until, warehouse = champion.window.until, platform.warehouse
    end = warehouse.window(trained_until)
    since = newest(warehouse, end, MAX_INTERACTIONS)
    step = (since.until - (since.since or BEGINNING)) / PERIODS
    times = [(since.since or BEGINNING) + step * number for number in range(PERIODS)] + [since.until]
    before = newest(warehouse, Window(until=trained_until, interactions=0), MAX_INTERACTIONS)
    trainings = [m.window.until for m in platform.endpoint.versions() if m.window.until <= trained_until]
    kept = [until for until in trainings[-PERIODS:] if until > (before.since or BEGINNING)]
    whole = before.since is None and since.since == end.since
    return _consecutive_windows([before.since, *kept]), _consecutive_windows(times), whole


def _consecutive_windows(times: Sequence[datetime | None]) -> list[Window]:
    """The windows between consecutive times, without empty ones; None is the beginning of the log."""
    return [
        Window(since=since, until=until, interactions=0)
        for since, until in itertools.pairwise(times)
        if until and since != until
    ]
