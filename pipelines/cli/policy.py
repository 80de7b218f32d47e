"""The commands for policy directories."""

from pathlib import Path
from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import JsonOption, group

app = group()


@app.callback()
def policy() -> None:
    """Inspect policy directories.

    Example: `banditloop policy show build/loop/endpoints/movielens/versions/v3-0a1b2c3d`
    """


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The policy directory.")],
    as_json: JsonOption = False,
) -> None:
    """Verify the checksums of a policy directory and show its manifest.

    Example: `banditloop policy show build/loop/endpoints/movielens/versions/v3-0a1b2c3d`
    """
    from banditloop.rl_core.policies.directory import verify_policy

    content = verify_policy(folder).model_dump(mode="json")
    files = {"files": ", ".join(content["files"])}  # their checksums are right
    display.key_values("policy", content if as_json else content | files, as_json)
