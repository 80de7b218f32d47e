"""The process of one trial on a machine of its own, with its settings as arguments, such as --agent.alpha=0.3.

The config is in $BANDITLOOP_CONFIG, the source of the log in --source. Vertex AI reads the value, under the name
`final_average_return`, from the file that $CLOUD_ML_HP_METRIC_FILE names, in the form of cloudml-hypertune.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from banditloop.rl_core import process
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.search_space import read_value
from banditloop.rl_core.tuning.objective import Source, objective_of
from banditloop.rl_core.tuning.trials import Parameters
from banditloop.rl_core.tuning.workers import in_this_process, platform_of

METRIC = "final_average_return"
METRIC_FILE, TRIAL_ID = "CLOUD_ML_HP_METRIC_FILE", "CLOUD_ML_TRIAL_ID"  # variables that Vertex AI sets
SOURCE = "source"


def arguments_of(source: Source) -> list[str]:
    """The arguments of a trial besides its settings."""
    return [f"--{SOURCE}={json.dumps(source._asdict())}"]


def serve(config: Config) -> None:
    """Measure the settings of the arguments: after every seed, the mean so far is reported."""
    source, parameters = read_arguments(config, sys.argv[1:])
    objective = objective_of(config, platform_of(config), source)
    evaluate, values = in_this_process(config, objective), []
    for seed in range(config.tuning.seeds):
        values.append(evaluate(parameters, seed))
        _report(sum(values) / len(values), seed)


def read_arguments(config: Config, arguments: Sequence[str]) -> tuple[Source, Parameters]:
    """The source and the settings that arguments name. InvalidInput: one is not --KEY=VALUE, or no setting to tune."""
    source, parameters, space = Source(), {}, {dimension.key: dimension for dimension in config.search_space()}
    for argument in arguments:
        key, equals, value = argument.removeprefix("--").partition("=")
        if key == SOURCE and equals:
            source = Source(**json.loads(value))
        elif key in space and equals:
            parameters[key] = read_value(space[key], value)
        else:
            raise InvalidInput(f"argument {argument!r}: give --KEY=VALUE with a key of: {', '.join(space)}")
    return source, parameters


def _report(value: float, step: int) -> None:
    """Add a line to the file of metrics."""
    path = Path(os.environ.get(METRIC_FILE, "/var/hypertune/output.metric"))
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "timestamp": time.time(),
        "trial": os.environ.get(TRIAL_ID, "0"),
        METRIC: str(value),
        "global_step": str(step),
        "checkpoint_path": "",
    }
    with path.open("a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")


if __name__ == "__main__":
    process.run(serve)
