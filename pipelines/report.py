"""How the served policies are doing, as plain figures: what `banditloop report` draws."""

import itertools
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipelines.status import versions
from rl_core.backends import Platform, champion
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.estimators import SNIPS
from rl_core.evaluation.contest import LOOKS, PLACES, WAYS
from rl_core.evaluation.stretch import interactions
from rl_core.manifest import Manifest, Window
from rl_core.monitoring import SAMPLE, Earned, Sample, drifted_features, drifted_reward, greedy_terms
from rl_core.policy import SavedPolicy
from rl_core.release import Release
from rl_core.schema import by_version

PERIODS = 30


@dataclass
class Watched:
    """What one reading of the log finds."""

    earned: dict[str, Earned] = field(default_factory=dict)
    periods: list[tuple[str, Window, int, float, tuple[float, float]]] = field(default_factory=list)
    then: Sample = field(default_factory=Sample)  # observations until the champion was trained
    now: Sample = field(default_factory=Sample)  # and since
    early: Earned = field(default_factory=Earned)  # the champion's rewards in its first half
    late: Earned = field(default_factory=Earned)
    greedy: SNIPS = field(default_factory=SNIPS)
    interactions: int = 0


def report(config: Config, platform: Platform) -> dict[str, Any]:
    """Everything the page shows, in the reward's own units."""
    best, release = champion(platform.endpoint), platform.endpoint.release()
    if best is None or release is None:
        raise InvalidInput("endpoint: nobody answers yet, so there is nothing to report; run startup first")
    known = versions(platform)
    served = sum(row["interactions"] for row in known if row["version"] == best.version)
    watched = _watch(config, platform, best, served // 2)
    verdicts = platform.endpoint.verdicts()
    learned = {manifest.version: manifest.interactions for manifest in platform.endpoint.versions()}
    judged = {v.version: {"judgement": v.judgement, "reason": v.reason} for v in verdicts}
    rows = []
    for row in known:
        found = watched.earned.get(row["version"])
        bounds = _scaled(config, found.bounds.interval()) if found else (None, None)
        rows.append(
            row
            | {"role": release.role(row["version"]), "learned_from": learned[row["version"]]}
            | {"low": bounds[0], "high": bounds[1]}
            | judged.get(row["version"], {"judgement": "", "reason": ""})
        )
    features = drifted_features(watched.then, watched.now)
    return {
        "endpoint": config.backend.endpoint,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": rows,
        "periods": [
            {"version": version, "until": window.until.isoformat(), "interactions": total}
            | dict(zip(("mean_reward", "low", "high"), _scaled(config, (mean, *bounds)), strict=True))
            for version, window, total, mean, bounds in watched.periods
        ],
        "alarms": _alarms(best.version, watched, features),
        "features": [dict(zip(("feature", "then", "now", "p"), found[:4], strict=True)) for found in features],
        "exploration": _exploration(config, best.version, watched),
        "contest": _contest(config, release),
        "verdicts": [verdict.model_dump(mode="json", exclude={"better", "until"}) for verdict in verdicts],
    }


def _watch(config: Config, platform: Platform, best: Manifest, half: int) -> Watched:
    """Read the log; `half` of the champion's interactions are its first half."""
    found, policy = Watched(), SavedPolicy.load(platform.endpoint.policy(best.version))
    before, since = _windows(platform, best)
    for window in [*before, *since]:
        sample, windows = (found.now, since) if window in since else (found.then, before)
        met = set()
        tables = itertools.chain.from_iterable(map(by_version, platform.warehouse.interactions(window)))
        for version, table in tables:
            batch = interactions(config, table)
            found.earned.setdefault(version, Earned()).add(batch.rewards)
            sample.add(batch.observations, SAMPLE // len(windows))
            if version == best.version:
                left = half - found.early.count
                found.early.add(batch.rewards[:left])
                found.late.add(batch.rewards[left:])
                found.greedy.add(greedy_terms(policy, batch))
            found.interactions += len(batch.rewards)
            met.add(version)
        for version in sorted(met):
            earned = found.earned[version]
            found.periods.append((version, window, found.interactions, earned.mean(), earned.bounds.interval()))
    return found


def _windows(platform: Platform, best: Manifest) -> tuple[list[Window], list[Window]]:
    """The log in stretches, one for each training, until the champion's; and in stretches of equal time since."""
    trained = [m.window.until for m in platform.endpoint.versions() if m.window.until <= best.window.until]
    end = platform.warehouse.window(best.window.until).until
    step = (end - best.window.until) / PERIODS
    times = [best.window.until + step * number for number in range(PERIODS)] + [end]
    return _between([None, *trained]), _between(times)


def _between(times: list[datetime | None] | list[datetime]) -> list[Window]:
    return [
        Window(since=since, until=until, interactions=0)
        for since, until in itertools.pairwise(times)
        if until and since != until
    ]


def _scaled(config: Config, values: tuple[float, ...]) -> tuple[float | None, ...]:
    low, high = config.environment.bounds
    return tuple(low + (high - low) * value if math.isfinite(value) else None for value in values)


def _alarms(
    version: str, watched: Watched, features: list[tuple[int, float, float, float, bool]]
) -> list[dict[str, str]]:
    alarms = []
    if change := drifted_reward(watched.early, watched.late):
        alarms.append({"kind": "reward", "text": f"the mean reward of {version} has {change} since it began to serve"})
    drifted = [str(feature) for feature, *_, minded in features if minded]
    if drifted:
        alarms.append(
            {
                "kind": "features",
                "text": f"users have changed since {version} was trained: features {', '.join(drifted)}",
            }
        )
    return alarms


def _exploration(config: Config, version: str, watched: Watched) -> dict[str, Any] | None:
    """What the best guesses alone would earn, beside what is earned."""
    served = watched.early.count + watched.late.count
    if not served:
        return None
    mean = (watched.early.total + watched.late.total) / served
    values = _scaled(config, (mean, watched.greedy.value(), *watched.greedy.interval()))
    return {"version": version} | dict(zip(("served", "greedy", "low", "high"), values, strict=True))


def _contest(config: Config, release: Release) -> dict[str, Any] | None:
    if release.challenger is None or release.contest is None:
        return None
    return {
        "champion": release.champion,
        "challenger": release.challenger,
        "share": release.share,
        "wealth": release.contest.wealth,
        "better": release.contest.better.wealth(),
        "worse": max(release.contest.worse.wealth(), release.contest.dropped.wealth()),
        "needed": math.log(PLACES / config.gate.alpha),
        "needed_worse": math.log(WAYS * LOOKS / config.gate.alpha),
    }
