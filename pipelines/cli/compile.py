"""The commands that write pipelines and components as KFP IR files."""

from pathlib import Path

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, ImageOption, JsonOption, OutputOption, load_config


def compile_(
    output: OutputOption = Path("build/pipelines"),
    image: ImageOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the startup and retraining pipelines to KFP IR.

    Example: `banditloop compile -o build/pipelines --image europe-docker.pkg.dev/p/r/banditloop@sha256:…`
    """
    from banditloop.pipelines.compile import compile_pipelines

    display.paths(compile_pipelines(output, load_config(config), image), as_json)


def export_components(
    output: OutputOption = Path("build/components"),
    image: ImageOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write each component as a YAML file that any pipeline can load.

    Example: `banditloop export-components -o build/components`
    """
    from banditloop.pipelines.compile import export_components as export

    display.paths(export(output, load_config(config), image), as_json)
