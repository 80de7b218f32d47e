"""Tables with one row per policy version, for the terminal, the pages and JSON."""

from collections import defaultdict
from typing import Any

from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.policies.release import Verdict, version_status
from banditloop.rl_core.ports import Platform

TOTALS = "interactions", "rewarded", "ignored", "mean_reward", "shadowed"
NO_INTERACTIONS = {"interactions": 0, "rewarded": 0, "ignored": 0, "mean_reward": None, "shadowed": 0}
ORIGIN = "parent", "learned_from", "since", "until", "run"
DATES = "made", "promoted"
VERDICT = "by", "decision", "reason"


def version_rows(platform: Platform, *columns: str) -> list[dict[str, Any]]:
    """One row per version, oldest first: version, status, traffic_percent and more columns.

    * status: champion, canary, shadow, was champion, replaced, refused, rolled back, or "" before any decision
    * traffic_percent: percent of the users that the version serves now
    * interactions, rewarded, ignored, mean_reward, shadowed: totals of the log; ignored ones have no reward and no
      default, shadowed ones were not shown to users
    * parent, learned_from, since, until, run: the version it resumed from, all interactions it was trained on, the log
      window that its training added (ISO 8601), and the pipeline run
    * made: when it was judged for the first time, right after its training, or else `until`; None for the random one
    * promoted: when it became the champion for the last time, None if it never did by a verdict (ISO 8601)
    * by, decision, reason: of the last verdict about it, "" before any
    """
    release = platform.endpoint.release()
    traffic = release.traffic() if release else {}
    manifests, decided = platform.endpoint.versions(), defaultdict[str, list[Verdict]](list)
    versions = {manifest.version for manifest in manifests}
    for verdict in platform.endpoint.verdicts(versions):
        decided[verdict.version].append(verdict)
    origin = {*ORIGIN, *DATES}
    queried = not set(columns).isdisjoint(TOTALS)  # a query over the whole log: only when needed
    totals = {row["version"]: row for row in platform.warehouse.policy_totals(versions)} if queried else {}
    rows = []
    for manifest in manifests:
        version = manifest.version
        verdicts = decided[version]
        last = verdicts[-1] if verdicts else None
        available = totals.get(version, NO_INTERACTIONS) | _verdict(last)
        if not origin.isdisjoint(columns):
            available |= _origin(manifest) | _dates(manifest, verdicts)
        status = version_status(version, release, last)
        row = {"version": version, "status": status, "traffic_percent": traffic.get(version, 0)}
        rows.append(row | {column: available[column] for column in columns})
    return rows


def _origin(manifest: Manifest) -> dict[str, Any]:
    since, until = manifest.window.since, manifest.window.until
    return {
        "parent": manifest.parent,
        "learned_from": manifest.interactions,
        "since": since and since.isoformat(timespec="seconds"),
        "until": until.isoformat(timespec="seconds"),
        "run": manifest.run,
    }


def _dates(manifest: Manifest, verdicts: list[Verdict]) -> dict[str, Any]:
    made = verdicts[0].at if verdicts else manifest.window.until
    promotions = [verdict.at for verdict in verdicts if verdict.decision == "promote"]
    return {
        "made": None if manifest.version == RANDOM else made.isoformat(timespec="seconds"),
        "promoted": promotions[-1].isoformat(timespec="seconds") if promotions else None,
    }


def _verdict(verdict: Verdict | None) -> dict[str, str]:
    return {column: getattr(verdict, column) if verdict else "" for column in VERDICT}
