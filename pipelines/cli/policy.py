"""The commands for policies."""

from pathlib import Path
from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.names import find_version
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, group, load_config
from banditloop.rl_core.backends import connect

app = group()


@app.callback()
def policy() -> None:
    """Inspect policies.

    Example: `banditloop policy show v3`
    """


@app.command()
def show(
    policy: Annotated[str, typer.Argument(metavar="DIR|VERSION", help="A policy directory, or a version.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify the checksums of a policy and show its manifest.

    Example: `banditloop policy show v3`

    Example: `banditloop policy show build/loop/endpoints/movielens/versions/v3-0a1b2c3d`
    """
    from banditloop.rl_core.policies.directory import verify_policy

    content = verify_policy(_folder(policy, config)).model_dump(mode="json")
    files = {"files": ", ".join(content["files"])}  # their checksums are right
    display.key_values("policy", content if as_json else content | files, as_json)


def _folder(policy: str, config: Path | None) -> Path:
    if Path(policy).exists():
        return Path(policy)
    endpoint = connect(load_config(config)).endpoint
    return endpoint.policy(find_version(endpoint, policy))
