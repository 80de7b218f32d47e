"""The process that measures trials: reads tasks from its standard input, writes their values to standard output."""

import json
import os
import sys
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.process import log_as_json
from banditloop.rl_core.tuning.objective import Source, objective_of
from banditloop.rl_core.tuning.workers import in_this_process, platform_of


def main() -> None:
    """Answer tasks until standard input closes. All other output goes to standard error."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        log_as_json()
        inputs = json.loads(sys.stdin.readline())
        config = Config.parse(inputs["config"])
        objective = objective_of(
            config, platform_of(config) if inputs["with_loop"] else None, Source(**inputs["source"])
        )
        evaluate = in_this_process(config, objective)
        for line in sys.stdin:
            print(json.dumps(_answer(evaluate, json.loads(line))), file=answers, flush=True)


def _answer(evaluate: Any, task: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"value": evaluate(task["parameters"], task["seed"])}
    except InvalidInput as error:
        return {"error": str(error)}


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # the process that tunes was killed
        os._exit(1)
