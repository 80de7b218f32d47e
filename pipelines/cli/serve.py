"""The command `serve`: the processes around the pipelines on one machine."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, load_config
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Platform

INTERVAL_SECONDS = 1.0
Step = Callable[[Config, Platform], tuple[str | None, str]]  # returns what it did, if anything, and why


def serve(config: ConfigOption = None) -> None:
    """Run the endpoint, the logger, the trigger and the monitor on this machine until interrupted.

    Example: `banditloop serve -c loop.toml`
    """
    from banditloop.functions.trigger import tick
    from banditloop.pipelines.cli.supervisor import services
    from banditloop.pipelines.compile import compile_pipelines
    from banditloop.rl_core.promotion.monitor import check_canary

    settings = load_config(config)
    platform = connect(settings)
    compile_pipelines(Path(settings.retraining.template).parent, settings)
    display.line(f"serving endpoint {settings.backend.endpoint}; press Ctrl-C to stop")
    with contextlib.suppress(KeyboardInterrupt), services(settings), display.progress(quiet=False) as report:
        while True:
            report("; ".join(_attempt(step, settings, platform) for step in (tick, check_canary)), None)
            time.sleep(INTERVAL_SECONDS)


def _attempt(step: Step, config: Config, platform: Platform) -> str:
    """Run one step and describe its outcome. Serving continues whatever error it raises."""
    try:
        action, reason = step(config, platform)
    except Exception as error:
        return f"{step.__name__} failed, will retry: {error}"
    return f"{action}: {reason}" if action else reason
