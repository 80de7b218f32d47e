"""The command `train`: the config's agent, on the loop's log or on-policy in simulation."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, OutputOption, load_config
from banditloop.pipelines.cli.progress import progress
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.on_policy import OnPolicySection
from banditloop.rl_core.settings.section import MAX_INTEGER
from banditloop.rl_core.usage import usage

OnPolicyOption = Annotated[
    bool, typer.Option("--on-policy", help="Train in the config's environment, instead of on the loop's log.")
]
LoopsOption = Annotated[int | None, typer.Option(min=1, help="Loops; overrides the config's.")]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Steps between two trainings; overrides the config's.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Decisions in a step; overrides the config's.")]
SeedOption = Annotated[int | None, typer.Option(min=0, max=MAX_INTEGER, help="Seed; overrides the config's.")]
TensorBoardOption = Annotated[
    Path | None, typer.Option("--tensorboard", file_okay=False, help="Folder of logs for TensorBoard.")
]
ProfileOption = Annotated[bool, typer.Option("--profile", help="Trace the first loops for TensorBoard's profiler.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output folder.")]


def train(
    config: ConfigOption = None,
    on_policy: OnPolicyOption = False,
    training_loops: LoopsOption = None,
    steps_per_loop: StepsOption = None,
    batch_size: BatchOption = None,
    seed: SeedOption = None,
    tensorboard: TensorBoardOption = None,
    profile: ProfileOption = False,
    resume: ResumeOption = False,
    output: OutputOption = Path("build/train"),
    as_json: JsonOption = False,
) -> None:
    """Train the config's agent on the loop's log or, with --on-policy, in the config's environment.

    Nothing is deployed: the policy is written to the folder `policy` of the output. On the log it is trained as by the
    pipelines' ingester and trainer. On-policy, its own decisions earn the rewards that it learns from: in every loop it
    takes steps with a batch of decisions, or plays whole episodes, and then learns from them. A page with the curves is
    written, too.

    Example: `banditloop train --on-policy --training-loops 100 --output build/on-policy`

    Example: `banditloop train --output build/train`
    """
    changed = {
        "training_loops": training_loops,
        "steps_per_loop": steps_per_loop,
        "batch_size": batch_size,
        "seed": seed,
    }
    changed = {key: value for key, value in changed.items() if value is not None}
    settings = load_config(config)
    if on_policy:
        from banditloop.pipelines.cli.train_on_policy import train_on_policy

        section = OnPolicySection.parse(settings.on_policy.model_dump() | changed, "on_policy")
        settings = settings.model_copy(update={"on_policy": section})
        return train_on_policy(settings, output, tensorboard, profile, resume, as_json)
    flags = {"tensorboard": tensorboard is not None, "profile": profile, "resume": resume}
    if given := [*changed, *(name for name, is_given in flags.items() if is_given)]:
        raise InvalidInput(f"--{given[0].replace('_', '-')}: is about training in simulation; give --on-policy, too")
    display.key_values("training", _train_on_log(settings, output, as_json), as_json)


def _train_on_log(config: Config, output: Path, quiet: bool) -> dict[str, Any]:
    """Train as the pipelines' ingester and trainer do; return metadata and metrics of the policy."""
    from banditloop.pipelines.cli.watched import watched_platform, watched_training
    from banditloop.rl_core.promotion.steps import export_step, train_step

    platform, took = connect(config), dict[str, float]()
    with tempfile.TemporaryDirectory() as folder, progress(quiet) as report, usage(took.__setitem__) as count_rows:
        examples, read = Path(folder) / "examples", watched_platform(platform, config, report)
        export = export_step(config, read, None, examples, Path(folder) / "held-out", {}, "", "")
        with watched_training(export.metrics["interactions"], report):
            trained = train_step(config, platform, examples, output / "policy", export.metadata, "")
        count_rows(trained.rows)
    shown = {name: took[name] for name in ("seconds", "rows_per_second", "peak_memory_mb")}
    return {"policy": str((output / "policy").absolute()), **trained.metadata, **trained.metrics, **shown}
