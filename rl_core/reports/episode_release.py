"""The release report of a loop of episodes: returns by version, in place of what holds for single decisions only."""

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.estimators.value_interval import informative_interval
from banditloop.rl_core.evaluation.episodes.episode_rows import EpisodeTable
from banditloop.rl_core.evaluation.episodes.returns import return_range
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.reports.drift import RewardStats
from banditloop.rl_core.reports.newest import newest
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.reward_range import RewardRange

MAX_DECISIONS = 100_000  # whose episodes are read
NOTE = (
    "Decisions of one episode depend on each other: rewards of decisions have no intervals here, and there are neither "
    "alarms of drift nor a value without exploration. Returns, of whole episodes, have intervals."
)
INTERVAL = {"low", "high"}
Report = dict[str, Any]


def of_episodes(
    report: dict[str, Any], config: Config, episodes: EpisodesSection, platform: Platform
) -> dict[str, Any]:
    """The report with `returns` by version and a note, without what does not apply."""
    plain_rows = {key: [_without_interval(row) for row in report[key]] for key in ("versions", "periods", "actions")}
    alarms = [alarm for alarm in report["alarms"] if alarm["kind"] == "traffic"]
    not_applicable = {"features": [], "exploration": None, "alarms": alarms}
    return report | plain_rows | not_applicable | {"note": NOTE, "returns": _returns(config, episodes, platform)}


def _without_interval(row: Report) -> Report:
    return {key: value for key, value in row.items() if key not in INTERVAL}


def _returns(config: Config, episodes: EpisodesSection, platform: Platform) -> list[Report]:
    """What the newest episodes of each version earned: their number, the mean of their discounted sums of rewards.

    With a confidence sequence; low and high are None where it says nothing. Episodes of several versions are left out.
    """
    stats, possible = defaultdict[str, RewardStats](RewardStats), return_range(config.task.rewards, episodes)
    window = newest(platform.warehouse, platform.warehouse.window(None), MAX_DECISIONS)
    for table in _whole_episodes(config, platform, window):
        rows = EpisodeTable(table)
        rewards = episodes.discount ** table["steps_since_first"].to_numpy() * table["reward"].to_numpy()
        returns = possible.scale(np.add.reduceat(rewards, rows.starts)).clip(0, 1)
        versions = pc.index_in(table["policy_version"], table["policy_version"].unique()).to_numpy()
        least, largest = (extreme.reduceat(versions, rows.starts) for extreme in (np.minimum, np.maximum))
        for number, version in enumerate(table["policy_version"].unique().to_pylist()):
            if (own := (least == number) & (largest == number)).any():
                stats[version].add(returns[own])
    return [{"version": version, "episodes": each.count} | _mean(each, possible) for version, each in stats.items()]


def _whole_episodes(config: Config, platform: Platform, window: Window) -> list[pa.Table]:
    usable = UsableInteractions(config.task, action_counts(platform.endpoint))
    batches = usable.episodes_of(platform.warehouse.transitions(window))
    return [pa.table(batch) for batch in batches if batch.num_rows]


def _mean(stats: RewardStats, possible: RewardRange) -> dict[str, float | None]:
    bounds = {
        name: possible.unscale(bound) if np.isfinite(bound) else None
        for name, bound in zip(("low", "high"), informative_interval(stats.bounds.interval()), strict=True)
    }
    return {"mean_return": possible.unscale(stats.mean()), **bounds}
