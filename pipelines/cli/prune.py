"""The command that removes what the config's retention section does not keep."""

from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, load_config
from banditloop.pipelines.cli.progress import doing
from banditloop.rl_core.backends import connect


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions, runs and dead letters, as the config's [retention] says. Every retraining does so before.

    Never removed: what serves, what training resumes from, and versions whose decisions evaluation still needs.

    Example: `banditloop prune --dry-run`
    """
    from banditloop.rl_core.promotion.retention import prune as prune_platform

    settings = load_config(config)
    with doing("looking for what is not kept" if dry_run else "removing what is not kept", as_json):
        pruned = prune_platform(settings, connect(settings), dry_run)
    lines = [f"{'would remove' if dry_run else 'removed'}: {pruned}"]
    lines += [f"  {name}" for name in (*pruned.versions, *pruned.runs)]
    display.json_or_text(pruned._asdict(), as_json, "\n".join(lines))
