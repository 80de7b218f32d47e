"""Training where the config says: in the trainer's own task, or on the machines of a Vertex AI custom job."""

from pathlib import Path

from rl_core.agents import Arrays
from rl_core.backend import GoogleBackend
from rl_core.config import Config
from rl_core.examples import example_files, read_examples
from rl_core.training import start, train


def trained(config: Config, examples: Path, parent: Path | None, work: Path) -> Arrays:
    """The statistics of `parent` (a policy directory, or None) with a folder's interactions added.

    `work` is a folder for what the machines of a custom job keep, which they reach as `examples`.
    """
    backend, before = config.backend, start(config, parent)
    if not (isinstance(backend, GoogleBackend) and backend.runner == "vertex" and backend.trainer_machine):
        return train(config, read_examples(example_files(examples)), before)
    from rl_core.backends.google.custom_job import run
    from rl_core.shares import begin, merged

    begin(work, before)
    run(config, backend, [str(examples), str(work)])
    return merged(config, examples, work, backend.trainer_replicas)
