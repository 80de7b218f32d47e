"""The monitor's check of the challenger: guardrails first, then the evidence from its traffic."""

from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.release import CanaryEvidence, Release, Verdict, VerdictDecision
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.canary_evidence import updated_evidence
from banditloop.rl_core.promotion.decision import decide_canary

CHAMPION_LATENCY_FACTOR = 2  # multiple of the champion's latency that is always allowed: large requests are slow
MIN_DECISIONS = 20  # decisions before the failure rate and the latency of a version count


def check_canary(config: Config, platform: Platform) -> tuple[VerdictDecision | None, str]:
    """Check the challenger once. Returns the decision, None for none, and its reason."""
    release = platform.endpoint.release()
    if release is None or release.challenger is None or release.evidence is None:
        return None, "there is no challenger"
    if reason := _guardrail_violation(config, platform, release.challenger):
        return _apply_decision(platform, release, release.evidence, "rollback", reason)
    window = platform.warehouse.window(release.evidence.until)
    interval = config.release.check_every_interactions
    if window.interactions < interval:
        return None, f"{window.interactions} of {interval} interactions until the next check"
    evidence = updated_evidence(config, platform, release, release.evidence, window)
    if config.episodes and evidence is release.evidence:
        limit = f"complete after episodes.window_seconds = {config.episodes.window_seconds:,.10g}"
        return None, f"waiting for the oldest open episodes; one without a last decision counts as {limit}"
    decision, reason = decide_canary(config, evidence, release.champion)
    if config.episodes and _judged(evidence) == _judged(release.evidence):
        reason = f"{reason}; none of {window.interactions:,} new decisions begins an episode of champion or challenger"
    return _apply_decision(platform, release, evidence, decision, reason)


def _judged(evidence: CanaryEvidence) -> int:
    """The number of episodes that were judged, those of unknown traffic share included."""
    return evidence.better.count + evidence.unknown_shares


def _guardrail_violation(config: Config, platform: Platform, challenger: str) -> str:
    """The limit on failures or latency that the challenger exceeds, whatever it earns; "" for none."""
    vitals = platform.endpoint.vitals()
    own = vitals.get(challenger)
    if own is None or own.decisions < MIN_DECISIONS:
        return ""
    limit, failure_rate = config.release.max_failure_rate, own.failures / own.decisions
    if failure_rate > limit:
        return f"failed on {failure_rate:.1%} of its {own.decisions:,} decisions, above the limit of {limit:.1%}"
    latencies = [other.p95_latency_ms for version, other in vitals.items() if version != challenger]
    allowed = max([config.release.max_p95_latency_ms, *(CHAMPION_LATENCY_FACTOR * latency for latency in latencies)])
    if own.p95_latency_ms > allowed:
        return f"has a p95 latency of {own.p95_latency_ms:,.1f} ms, above the limit of {allowed:,.1f} ms"
    return ""


def _apply_decision(
    platform: Platform, release: Release, evidence: CanaryEvidence, decision: VerdictDecision | None, reason: str
) -> tuple[VerdictDecision | None, str]:
    """Save the evidence and change the release as decided, unless it was changed concurrently."""
    assert release.challenger
    after, verdict = release.model_copy(update={"evidence": evidence}), None
    if warning := after.traffic_warning():
        reason = f"{reason}; warning: {warning}"
    if decision:
        after = Release(champion=release.challenger) if decision == "promote" else after.without_challenger()
        verdict = Verdict(
            version=release.challenger, champion=release.champion, decision=decision, by="monitor", reason=reason
        )
    if not platform.endpoint.set_release(release, after, verdict):
        return None, "the release was changed concurrently"
    return decision, f"{release.challenger} {reason}"
