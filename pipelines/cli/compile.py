"""The commands that write pipelines and components as KFP IR files."""

from pathlib import Path
from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, ImageOption, JsonOption, OutputOption, load_config
from banditloop.pipelines.cli.progress import doing


def compile_(
    output: OutputOption = Path("build/pipelines"),
    image: ImageOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the startup, retraining, on-policy, experiments and tuning pipelines to KFP IR.

    Example: `banditloop compile -o build/pipelines --image europe-docker.pkg.dev/p/r/banditloop@sha256:…`
    """
    from banditloop.pipelines.compile import compile_on_request, compile_pipelines

    arguments = output, load_config(config), image
    with doing("compiling pipelines", as_json):
        files = [*compile_pipelines(*arguments), *compile_on_request(*arguments).values()]
    display.paths(files, as_json)


def export_components(
    output: OutputOption = Path("build/components"),
    image: ImageOption = None,
    config: ConfigOption = None,
    hub: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Clone of kubeflow/pipelines-components: write them in its form instead."),
    ] = None,
    approver: Annotated[
        list[str], typer.Option(help="With --hub: GitHub name of a member of the Kubeflow community; may be repeated.")
    ] = [],
    as_json: JsonOption = False,
) -> None:
    """Write each component as a YAML file that any pipeline can load.

    Example: `banditloop export-components -o build/components`

    Example: `banditloop export-components --hub pipelines-components --approver octocat`
    """
    from banditloop.components import IMAGE
    from banditloop.pipelines.compile import export_components as export
    from banditloop.pipelines.hub import export_hub

    if hub:
        return display.paths(export_hub(hub, approver, image), as_json)
    settings = load_config(config)
    if not (image or settings.backend.container_image()):
        hint = f"the image {IMAGE} is in no registry: the components run on this machine only; give --image for others"
        typer.echo(f"banditloop: {hint}", err=True)
    with doing("compiling components", as_json):
        files = export(output, settings, image)
    display.paths(files, as_json)
