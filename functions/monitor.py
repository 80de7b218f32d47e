"""The monitor watches the challenger beside the champion, and ends their contest as soon as it is decided."""

import logging
import math

import functions_framework
from cloudevents.http import CloudEvent

from rl_core.backends import Platform, connected
from rl_core.backends.evaluating import stretch
from rl_core.config import Config
from rl_core.evaluation.contest import LOOKS, PLACES, WAYS, claims, contest, dropped, odds
from rl_core.manifest import Window
from rl_core.policy import SavedPolicy
from rl_core.release import Contest, Judgement, Release, Verdict

LOOKS_SHOWN = 500
MUCH_SLOWER = 2  # than the champion is allowed whatever the limit: large requests take long
FEW = 20  # decisions from which on failures and slowness count
log = logging.getLogger("banditloop.monitor")


def watch(config: Config, platform: Platform) -> tuple[Judgement | None, str]:
    """One look: what was decided, if anything, and why."""
    release = platform.endpoint.release()
    if release is None or release.challenger is None or release.contest is None:
        return None, "nobody challenges the champion"
    if reason := _unfit(config, platform, release.challenger):
        return _decide(platform, release, release.contest, "rollback", reason)
    window = platform.warehouse.window(release.contest.until)
    if window.interactions < config.release.look:
        return None, f"{window.interactions} of {config.release.look} interactions until the next look"
    looked = _look(config, platform, release, release.contest, window)
    return _decide(platform, release, looked, *_judge(config, release.champion, looked))


def _unfit(config: Config, platform: Platform, challenger: str) -> str:
    """What the guardrails find wrong with it, whatever it earns."""
    every = platform.endpoint.vitals()
    vitals, others = every.get(challenger), [of.milliseconds for version, of in every.items() if version != challenger]
    if vitals is None or vitals.decisions < FEW:
        return ""
    if (share := vitals.failures / vitals.decisions) > config.release.max_failures:
        return f"{share:.1%} of its {vitals.decisions:,} answers failed, {config.release.max_failures:.1%} may"
    allowed = max([config.release.max_milliseconds, *(MUCH_SLOWER * other for other in others)])
    if vitals.milliseconds > allowed:
        return f"95 % of its answers take up to {vitals.milliseconds:.3g} ms, {allowed:.3g} ms is allowed"
    return ""


def _look(config: Config, platform: Platform, release: Release, before: Contest, window: Window) -> Contest:
    """The evidence with what was logged since the last look; neither policy was trained on it."""
    champion, challenger = (SavedPolicy.load(platform.endpoint.policy(version)) for version in release.traffic())
    since = stretch(platform, config, window)
    better, worse = contest(since, champion, challenger, before.better, before.worse.restarted())
    users = dropped(since, release.champion, challenger.manifest.version, before.dropped.restarted())
    wealth = [*before.wealth, better.wealth()][-LOOKS_SHOWN:]
    return Contest(until=window.until, better=better, worse=worse, dropped=users, wealth=wealth)


def _judge(config: Config, champion: str, looked: Contest) -> tuple[Judgement | None, str]:
    better, worse = PLACES / config.gate.alpha, WAYS * LOOKS / config.gate.alpha
    if looked.worse.wealth() >= math.log(worse):
        return "rollback", f"earns less than {champion}: {odds(looked.worse)} against chance, {worse:,.0f} needed"
    if looked.dropped.wealth() >= math.log(worse):
        reason = f"its users are worse off than those of {champion}, whatever its actions: {odds(looked.dropped)}"
        return "rollback", f"{reason} against chance, {worse:,.0f} needed"
    claim = claims(looked.better, champion)
    if looked.better.wealth() >= math.log(better):
        return "promote", f"{claim}: {odds(looked.better)} against chance, {better:,.0f} needed"
    return None, f"{claim}: {odds(looked.better)} so far, {better:,.0f} needed"


def _decide(
    platform: Platform, release: Release, looked: Contest, judgement: Judgement | None, reason: str
) -> tuple[Judgement | None, str]:
    """Move the release, unless somebody else has meanwhile."""
    assert release.challenger
    after, verdict = release.model_copy(update={"contest": looked}), None
    if judgement:
        after = Release(champion=release.challenger) if judgement == "promote" else after.dismissed()
        verdict = Verdict(
            version=release.challenger, champion=release.champion, judgement=judgement, by="monitor", reason=reason
        )
    if not platform.endpoint.move(release, after, verdict):
        return None, "the release has changed meanwhile"
    return judgement, f"{release.challenger} {reason}"


@functions_framework.cloud_event
def monitor(event: CloudEvent) -> None:
    """Look once."""
    judgement, reason = watch(*connected())
    log.info("%s: %s", judgement or "nothing decided", reason)
