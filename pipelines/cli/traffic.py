"""The commands of the group `release` that change which versions are served."""

from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, load_config
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.release import Release, Verdict, VerdictDecision
from banditloop.rl_core.ports import Endpoint
from banditloop.rl_core.promotion.transitions import promote as promote_version
from banditloop.rl_core.promotion.transitions import roll_back, start_canary

ReasonOption = Annotated[str, typer.Option(help="Reason, recorded with the version.")]


def traffic(
    split: Annotated[
        str, typer.Argument(metavar="[VERSION=PERCENT]", help="Version to serve beside the champion, 0 to 99 percent.")
    ] = "",
    reason: ReasonOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the traffic split, or serve a version to a percentage of the users and the champion to the others.

    A version with 0 percent is a shadow: its decisions are logged, but not shown to users.

    Example: `banditloop release traffic v3-0a1b2c3d=20`
    """
    settings = load_config(config)
    endpoint = connect(settings).endpoint
    current = _release(endpoint)
    if not split:
        return _show(current, as_json)
    version, _, percent = split.partition("=")
    _check_version(endpoint, version)
    if not percent.isdecimal() or int(percent) > 99 or version == current.champion:
        raise InvalidInput(f"traffic {split!r}: give VERSION=PERCENT, 0 to 99, of a version other than the champion")
    verdict = _verdict(current, version, "canary", reason)
    _show(start_canary(endpoint, version, int(percent), settings.gate.noninferiority_margin, verdict), as_json)


def promote(
    version: Annotated[str, typer.Argument(help="Any version. Default: the challenger.")] = "",
    reason: ReasonOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a version to all users, whatever the evidence.

    Example: `banditloop release promote v3-0a1b2c3d --reason "the campaign starts"`
    """
    endpoint = connect(load_config(config)).endpoint
    current = _release(endpoint)
    version = version or current.challenger or ""
    _check_version(endpoint, version)
    if version == current.champion:
        raise InvalidInput(
            f"version {version!r}: is the champion already; `banditloop release rollback` removes a challenger"
        )
    _show(promote_version(endpoint, version, _verdict(current, version, "promote", reason)), as_json)


def rollback(reason: ReasonOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Remove the challenger or, if there is none, restore the previous champion.

    Example: `banditloop release rollback --reason "complaints"`
    """
    endpoint = connect(load_config(config)).endpoint
    current = _release(endpoint)
    if challenger := current.challenger:
        verdict = _verdict(current, challenger, "rollback", reason)
        return _show(roll_back(endpoint, challenger, verdict), as_json)
    promotions = [v for v in endpoint.verdicts() if v.decision == "promote" and v.version == current.champion]
    if not promotions or promotions[-1].champion == current.champion:
        raise InvalidInput(
            f"version {current.champion!r}: has no previous champion; use `banditloop release promote VERSION`"
        )
    verdict = _verdict(current, current.champion, "rollback", reason)
    _show(promote_version(endpoint, promotions[-1].champion, verdict), as_json)


def _release(endpoint: Endpoint) -> Release:
    release = endpoint.release()
    if release is None:
        raise InvalidInput("endpoint: no version is served yet; run `banditloop serve` first")
    return release


def _check_version(endpoint: Endpoint, version: str) -> None:
    names = [manifest.version for manifest in endpoint.versions()]
    if version not in names:
        raise InvalidInput(f"version {version!r}: is not one of: {', '.join(names)}")


def _verdict(release: Release, version: str, decision: VerdictDecision, reason: str) -> Verdict:
    return Verdict(version=version, champion=release.champion, decision=decision, by="operator", reason=reason)


def _show(release: Release, as_json: bool) -> None:
    rows = [
        {"version": version, "status": release.role(version), "traffic_percent": percent}
        for version, percent in release.traffic().items()
    ]
    display.table("traffic", rows, as_json)
