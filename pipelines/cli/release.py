"""The commands that show policy versions and change which of them are served."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, OutputOption, group, load_config
from banditloop.pipelines.cli.traffic import promote, rollback, traffic
from banditloop.rl_core.backends import connect
from banditloop.rl_core.reports.versions import ORIGIN, TOTALS, VERDICT, version_rows

MAIN_COLUMNS = "interactions", "mean_reward", "decision"
app = group()


@app.callback()
def release() -> None:
    """Show policy versions, and change which of them are served.

    Example: `banditloop release versions`

    Example: `banditloop release traffic v3-0a1b2c3d=20`
    """


@app.command()
def versions(
    wide: Annotated[bool, typer.Option("--wide", help="Show all columns, without wrapping.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List policy versions with status, traffic, rewards and the last decision about them.

    --wide and --json add the parent, the training data, the pipeline run, and who decided and why.

    Example: `banditloop release versions --wide`
    """
    columns = (*TOTALS, *ORIGIN, *VERDICT) if wide or as_json else MAIN_COLUMNS
    display.table("versions", version_rows(connect(load_config(config)), *columns), as_json, wide)


for command in (traffic, promote, rollback):
    app.command()(command)


@app.command()
def report(
    output: OutputOption = Path("build/report"), config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Write a page about the served policies: rewards over time, drift, exploration, verdicts.

    Example: `banditloop release report -o build/report`
    """
    from banditloop.rl_core.reports.release_page import write_page
    from banditloop.rl_core.reports.release_report import report as release_report

    settings = load_config(config)
    content: dict[str, Any] = release_report(settings, connect(settings))
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(json.dumps(content, indent=2))
    write_page(content, output / "index.html")
    lines = [alarm["text"] for alarm in content["alarms"]] + [f"report: {(output / 'index.html').absolute()}"]
    display.json_or_text(content, as_json, "\n".join(lines))
