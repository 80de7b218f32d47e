"""`train --on-policy`: progress, the table of loops, and what is written."""

import json
from pathlib import Path

import numpy as np

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.progress import progress
from banditloop.pipelines.cli.table import Row
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.promotion.on_policy import OnPolicy, on_policy_step
from banditloop.rl_core.reports.on_policy_page import write_training_report
from banditloop.rl_core.training.on_policy import Curve

ROWS = 20  # of the table; of more loops, some are shown


def train_on_policy(
    config: Config, output: Path, tensorboard: Path | None, profile: bool, resume: bool, as_json: bool
) -> None:
    """Train, write curve.json, index.html and the policy to the output folder, and print the loops."""
    if profile and tensorboard is None:
        raise InvalidInput("--profile: is looked at in TensorBoard; give --tensorboard DIR, too")
    loops = config.on_policy.training_loops
    with progress(quiet=as_json) as report:

        def show(curve: Curve) -> None:
            last, done = curve.loops[-1], len(curve.loops)
            regret = "" if last.regret is None else f", regret {last.regret:.3f}"
            report(f"loop {done:,} of {loops:,}: return {last.average_return:.3f}{regret}", done, loops, "loops")

        trained = on_policy_step(
            config, None, output / "policy", output, resume, tensorboard=tensorboard, profile=profile, on_loop=show
        )
    file = output / "curve.json"
    write_training_report(config, trained, file, output / "index.html", policy=str((output / "policy").absolute()))
    display.json_or_call(json.loads(file.read_text()), as_json, lambda: _print(trained, output, tensorboard))


def _print(trained: OnPolicy, output: Path, tensorboard: Path | None) -> None:
    known = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in trained.baselines.items()]
    display.table("  ".join(known) or "loops", _rows(trained.curve))
    lines = [f"policy {trained.manifest.version}: {(output / 'policy').absolute()}"]
    lines.append(f"curve: {(output / 'index.html').absolute()}")
    if tensorboard:
        lines.append(f"tensorboard --logdir {tensorboard}")
    display.line("\n".join(lines))


def _rows(curve: Curve) -> list[Row]:
    """The loops, or evenly spaced ones, first and last included."""
    numbers = np.unique(np.linspace(0, len(curve.loops) - 1, ROWS).round().astype(int))
    rows = [{"loop": int(number) + 1, **curve.loops[number].row()} for number in numbers]
    known = curve.average_regret is not None
    return rows if known else [{key: value for key, value in row.items() if key != "regret"} for row in rows]
