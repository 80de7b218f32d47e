"""The commands of the group `release` that change which versions are served."""

from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.confirm import YesOption, confirm
from banditloop.pipelines.cli.names import find_version
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, load_config
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.release import Release, Verdict, VerdictDecision
from banditloop.rl_core.ports import Endpoint
from banditloop.rl_core.promotion.transitions import promote as promote_version
from banditloop.rl_core.promotion.transitions import roll_back, start_canary

MAX_REASON = 500  # characters
ReasonOption = Annotated[
    str, typer.Option(help=f"Reason, recorded with the version: one line of at most {MAX_REASON} characters.")
]


def traffic(
    split: Annotated[
        str, typer.Argument(metavar="[VERSION=PERCENT]", help="Version to serve beside the champion, 0 to 99 percent.")
    ] = "",
    reason: ReasonOption = "",
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the traffic split, or serve a version to a percentage of the users and the champion to the others.

    A version with 0 percent is a shadow: its decisions are logged, but not shown to users.

    Example: `banditloop release traffic v3=20`
    """
    settings = load_config(config)
    endpoint = connect(settings).endpoint
    current = _release(endpoint)
    if not split:
        return _show(current, as_json)
    name, _, percent = split.partition("=")
    version = name and find_version(endpoint, name)
    if not version or not percent.isdecimal() or int(percent) > 99 or version == current.champion:
        raise InvalidInput(f"traffic {split!r}: give VERSION=PERCENT, 0 to 99, of a version other than the champion")
    verdict = _verdict(current, version, "canary", reason)
    role = f"serves {int(percent)} % of the users" if int(percent) else "becomes a shadow, which users do not see"
    confirm(f"{version} {role} beside the champion {current.champion}{_ended(current, version)}", yes)
    _show(start_canary(endpoint, version, int(percent), settings.gate.noninferiority_margin, verdict), as_json)


def promote(
    version: Annotated[
        str, typer.Argument(help="Any version, or the first characters of its name. Default: the challenger.")
    ] = "",
    reason: ReasonOption = "",
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a version to all users, whatever the evidence.

    Example: `banditloop release promote v3 --reason "the campaign starts"`
    """
    endpoint = connect(load_config(config)).endpoint
    current = _release(endpoint)
    if not (named := version or current.challenger):
        raise InvalidInput("version: there is no challenger to promote; name a version")
    version = find_version(endpoint, named)
    if version == current.champion:
        raise InvalidInput(
            f"version {version!r}: is the champion already; `banditloop release rollback` removes a challenger"
        )
    verdict = _verdict(current, version, "promote", reason)
    confirm(f"{version} serves all users; {current.champion} is champion no more{_ended(current, version)}", yes)
    _show(promote_version(endpoint, version, verdict), as_json)


def rollback(
    reason: ReasonOption = "", yes: YesOption = False, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Remove the challenger or, if there is none, restore the previous champion.

    Example: `banditloop release rollback --reason "complaints"`
    """
    endpoint = connect(load_config(config)).endpoint
    current = _release(endpoint)
    if challenger := current.challenger:
        verdict = _verdict(current, challenger, "rollback", reason)
        confirm(f"{challenger} serves no more; its users get the champion {current.champion}", yes)
        return _show(roll_back(endpoint, challenger, verdict), as_json)
    promotions = [v for v in endpoint.verdicts([current.champion]) if v.decision == "promote"]
    if not promotions or promotions[-1].champion == current.champion:
        raise InvalidInput(
            f"version {current.champion!r}: has no previous champion; use `banditloop release promote VERSION`"
        )
    previous = promotions[-1].champion
    verdict = _verdict(current, current.champion, "rollback", reason)
    confirm(f"{previous} serves all users, as before {current.champion}, which is champion no more", yes)
    _show(promote_version(endpoint, previous, verdict), as_json)


def _release(endpoint: Endpoint) -> Release:
    release = endpoint.release()
    if release is None:
        raise InvalidInput("endpoint: no version is served yet; run `banditloop serve` first")
    return release


def _ended(release: Release, version: str) -> str:
    """What happens to another challenger, as the end of a sentence."""
    other = release.challenger not in (None, version)
    return f"; the {release.role(release.challenger or '')} {release.challenger} serves no more" if other else ""


def _verdict(release: Release, version: str, decision: VerdictDecision, reason: str) -> Verdict:
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise InvalidInput(f"--reason: has {len(reason):,} characters; give one line of at most {MAX_REASON}")
    return Verdict(version=version, champion=release.champion, decision=decision, by="operator", reason=reason)


def _show(release: Release, as_json: bool) -> None:
    rows = [
        {"version": version, "status": release.role(version), "traffic_percent": percent}
        for version, percent in release.traffic().items()
    ]
    display.table("traffic", rows, as_json)
