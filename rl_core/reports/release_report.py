"""The numbers of `banditloop release report`: how the served policies are doing, in the reward's own units."""

import math
from datetime import UTC, datetime
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.value_interval import informative_interval
from banditloop.rl_core.policies.release import Release
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.current import champion_manifest
from banditloop.rl_core.promotion.decision import Thresholds
from banditloop.rl_core.reports.drift import FeatureDrift, drifted_features, drifted_reward
from banditloop.rl_core.reports.episode_release import of_episodes
from banditloop.rl_core.reports.log_reading import LogReading, read_log
from banditloop.rl_core.reports.retrainings import retraining_rows
from banditloop.rl_core.reports.versions import DATES, TOTALS, version_rows


def report(config: Config, platform: Platform) -> dict[str, Any]:
    """Everything that the page shows; of a loop of episodes, as `episode_release.of_episodes` has it.

    Raises:
        InvalidInput: there is no champion yet.
    """
    champion, release = champion_manifest(platform.endpoint), platform.endpoint.release()
    if champion is None or release is None:
        raise InvalidInput("endpoint: has no champion to report on yet; run `banditloop serve` first")
    rows = version_rows(platform, *TOTALS, *DATES, "learned_from", "decision", "reason")
    reading = read_log(config, platform, champion)
    drifts = drifted_features(reading.training, reading.recent, reading.feature_names)
    verdicts = platform.endpoint.verdicts()
    content = {
        "endpoint": config.backend.endpoint,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "read": {"interactions": reading.interactions, "whole": reading.whole},
        "versions": [row | _bounds(config, reading, row) for row in rows],
        "periods": _periods(config, reading),
        "alarms": _alarms(release, reading, drifts),
        "features": [{key: value for key, value in drift._asdict().items() if key != "drifted"} for drift in drifts],
        "actions": reading.actions.rows(config.task.rewards),
        "exploration": _exploration(config, champion.version, reading),
        "evidence": _canary(config, release),
        "retrainings": retraining_rows(platform),
        "verdicts": [verdict.model_dump(mode="json", exclude={"better", "until"}) for verdict in verdicts],
    }
    return of_episodes(content, config, config.episodes, platform) if config.episodes else content


def _bounds(config: Config, reading: LogReading, row: dict[str, Any]) -> dict[str, float | None]:
    """The confidence sequence of a version's mean reward, and the mean of what was read if that is not all of it."""
    rewards = reading.rewards.get(row["version"])
    if rewards is None:
        return {"low": None, "high": None}
    low, high = _unscaled(config, informative_interval(rewards.bounds.interval()))
    mean = {} if reading.whole else {"mean_reward": config.task.rewards.unscale(rewards.mean())}
    return mean | {"low": low, "high": high}


def _periods(config: Config, reading: LogReading) -> list[dict[str, Any]]:
    return [
        {"version": period.version, "until": period.until.isoformat(), "interactions": period.interactions}
        | dict(
            zip(("mean_reward", "low", "high"), _unscaled(config, (period.mean_reward, *period.bounds)), strict=True)
        )
        for period in reading.periods
    ]


def _alarms(release: Release, reading: LogReading, drifts: list[FeatureDrift]) -> list[dict[str, str]]:
    alarms, version = [], release.champion
    if change := drifted_reward(*reading.halves()):
        text = f"the mean reward of {version} has {change} {'since it started serving' if reading.whole else 'lately'}"
        alarms.append({"kind": "reward", "text": text})
    if drifted := [drift.feature for drift in drifts if drift.drifted]:
        text = f"observations have drifted since {version} was trained: features {', '.join(drifted)}"
        alarms.append({"kind": "features", "text": text})
    if warning := release.traffic_warning():
        alarms.append({"kind": "traffic", "text": warning})
    return alarms


def _exploration(config: Config, version: str, reading: LogReading) -> dict[str, Any] | None:
    """The champion's mean reward as served, and its greedy value, estimated from its own interactions."""
    rewards = reading.rewards.get(version)
    if rewards is None:
        return None
    mean = rewards.mean()
    values = _unscaled(config, (mean, reading.greedy.value(), *informative_interval(reading.greedy.interval())))
    return {"version": version} | dict(zip(("mean_reward", "greedy_value", "low", "high"), values, strict=True))


def _canary(config: Config, release: Release) -> dict[str, Any] | None:
    """The evidence about the challenger, as log wealth, and what the tests need."""
    if release.challenger is None or release.evidence is None:
        return None
    needed = Thresholds.of(config)
    return {
        "champion": release.champion,
        "challenger": release.challenger,
        "traffic_percent": release.challenger_percent,
        "unit": "episode" if config.episodes else "interaction",
        "wealth": release.evidence.wealth,
        "better": release.evidence.better.log_wealth(),
        "worse": max(release.evidence.worse.log_wealth(), release.evidence.worse_by_user.log_wealth()),
        "needed": math.log(needed.canary_better),
        "needed_worse": math.log(needed.canary_worse),
    }


def _unscaled(config: Config, values: tuple[float, ...]) -> tuple[float | None, ...]:
    """Values in the reward's own units; None for those that are not finite."""
    unscale = config.task.rewards.unscale
    return tuple(unscale(value) if math.isfinite(value) else None for value in values)
