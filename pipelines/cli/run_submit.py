"""Submitting a compiled pipeline: its parameters from a file and from options, checked before anything starts."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from banditloop.pipelines.cli import display
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.config_values import read_values

ParameterFileOption = Annotated[
    Path | None,
    typer.Option(
        "--parameters", metavar="FILE", help="TOML or JSON file of pipeline parameters; --param overrides it."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything and show what would run.")]


class Submission(NamedTuple):
    """A run that can start: everything about it was checked."""

    template: Path
    parameters: dict[str, Any]
    run_id: str

    def submit(self, config: Config) -> str:
        """Start it, and return the URL of the platform's page about it, "" where there is none."""
        runner = connect(config).runner
        if not runner.submit(self.template, self.parameters, self.run_id):
            raise InvalidInput(f"run_id = {self.run_id!r}: a run of this id exists already; give another")
        return runner.page(self.run_id)

    def show(self, as_json: bool) -> None:
        """Show what would run."""
        content = {"run_id": self.run_id, "template": str(self.template), "parameters": self.parameters}
        rows = {key: "the config" if key == "config" else value for key, value in self.parameters.items()}
        title = f"{self.run_id} would run {self.template} with"
        display.json_or_call(content, as_json, lambda: display.key_values(title, rows, False))


def check_submission(config: Config, template: Path, file: Path | None, arguments: list[str]) -> Submission:
    """The submission that a command's options ask for. InvalidInput: it cannot run."""
    from banditloop.pipelines.compile import read_parameters
    from banditloop.rl_core.pipeline_specs.template import check_run, declared_parameters, read_template
    from banditloop.rl_core.promotion.start import check_start

    declared = declared_parameters(read_template(template))
    run_id = f"{template.stem}-{datetime.now(UTC):%Y%m%dt%H%M%S%f}"
    default = {"config": config.to_dict(), "run_id": run_id}
    parameters = {key: value for key, value in default.items() if key in declared}
    parameters |= (_read_file(file) if file else {}) | read_parameters(template, arguments)
    check_run(template, parameters, remote=getattr(config.backend, "runner", "local") != "local")
    run_id = str(parameters.get("run_id", run_id))
    if not re.fullmatch(r"[\w-]+", run_id):
        raise InvalidInput(f"run_id = {run_id!r}: give letters, digits, - and _ only")
    if config.backend.process_folder():  # elsewhere the first component checks: platforms answer slowly
        check_start(config, connect(config))
    return Submission(template, parameters, run_id)


def _read_file(path: Path) -> dict[str, Any]:
    values = read_values(path)
    if not isinstance(values, Mapping):
        raise InvalidInput(f"--parameters {path}: give a table of parameters and their values")
    return dict(values)
