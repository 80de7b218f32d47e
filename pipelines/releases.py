"""The commands that look at versions, and move the release by hand."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines import display
from pipelines.options import ConfigOption, JsonOption, OutputOption, load
from pipelines.status import lineage
from rl_core.backends import Endpoint, connect
from rl_core.backends.releasing import challenge, dismiss
from rl_core.backends.releasing import promote as promote_version
from rl_core.errors import InvalidInput
from rl_core.release import Judgement, Release, Verdict

ReasonOption = Annotated[str, typer.Option(help="Why; it is kept with the version.")]


def versions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show where every version comes from and what became of it.

    Example: `banditloop versions`
    """
    display.rows("versions", lineage(connect(load(config))), as_json)


def promote(
    version: Annotated[str, typer.Argument(help="Any version; the challenger where not given.")] = "",
    reason: ReasonOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version answer everybody, proved or not.

    Example: `banditloop promote v3-0a1b2c3d --reason "the campaign starts"`
    """
    endpoint = connect(load(config)).endpoint
    release = _release(endpoint)
    version = version or release.challenger or ""
    _known(endpoint, version)
    if version == release.champion:
        raise InvalidInput(
            f"version {version!r}: is the champion already; `banditloop rollback` dismisses a challenger"
        )
    _say(promote_version(endpoint, version, _verdict(release, version, "promote", reason)), as_json)


def rollback(reason: ReasonOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Dismiss the challenger; where there is none, go back to the champion before this one.

    Example: `banditloop rollback --reason "complaints"`
    """
    endpoint = connect(load(config)).endpoint
    release = _release(endpoint)
    if release.challenger:
        return _say(
            dismiss(endpoint, release.challenger, _verdict(release, release.challenger, "rollback", reason)), as_json
        )
    promoted = [v for v in endpoint.verdicts() if v.judgement == "promote" and v.version == release.champion]
    if not promoted or promoted[-1].champion == release.champion:
        raise InvalidInput(
            f"endpoint: nothing is known to have answered before {release.champion}; use promote VERSION"
        )
    verdict = _verdict(release, release.champion, "rollback", reason)
    _say(promote_version(endpoint, promoted[-1].champion, verdict), as_json)


def traffic(
    split: Annotated[str, typer.Argument(metavar="[VERSION=PERCENT]", help="The challenger's share.")] = "",
    reason: ReasonOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who answers; or let a version answer a share of the users, and the champion the others.

    With 0 % it is a shadow: it decides and is logged, and nobody sees it.

    Example: `banditloop traffic v3-0a1b2c3d=20`
    """
    settings = load(config)
    endpoint = connect(settings).endpoint
    release = _release(endpoint)
    if not split:
        return _say(release, as_json)
    version, _, percent = split.partition("=")
    _known(endpoint, version)
    if not percent.isdigit() or int(percent) > 99 or version == release.champion:
        raise InvalidInput(f"traffic {split!r}: give VERSION=PERCENT, 0 to 99, of a version other than the champion")
    verdict = _verdict(release, version, "canary", reason)
    _say(challenge(endpoint, version, int(percent), settings.gate.margin, verdict), as_json)


def report(
    config: ConfigOption = None, output: OutputOption = Path("build/report"), as_json: JsonOption = False
) -> None:
    """Write a page on how the served policies are doing: rewards over time, drift, exploration, verdicts.

    Example: `banditloop report -o build/report`
    """
    from pipelines.report import report as look
    from pipelines.report_page import write_report

    settings = load(config)
    found = look(settings, connect(settings))
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(json.dumps(found, indent=2))
    write_report(found, output / "index.html")
    alarms = "".join(f"{alarm['text']}\n" for alarm in found["alarms"])
    display.show(found, as_json, f"{alarms}The report: {(output / 'index.html').absolute()}")


def _release(endpoint: Endpoint) -> Release:
    release = endpoint.release()
    if release is None:
        raise InvalidInput("endpoint: nobody answers yet; run the startup pipeline first")
    return release


def _known(endpoint: Endpoint, version: str) -> None:
    known = [manifest.version for manifest in endpoint.versions()]
    if version not in known:
        raise InvalidInput(f"version {version!r}: is not one of: {', '.join(known)}")


def _verdict(release: Release, version: str, judgement: Judgement, reason: str) -> Verdict:
    return Verdict(version=version, champion=release.champion, judgement=judgement, by="hand", reason=reason)


def _say(release: Release, as_json: bool) -> None:
    rows = [{"version": v, "role": release.role(v), "traffic": share} for v, share in release.traffic().items()]
    display.rows("traffic", rows, as_json)
