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

    Before the first training it serves the random policy, from whose decisions the loop learns.

    Example: `banditloop serve -c loop.toml`
    """
    from banditloop.functions.trigger import tick
    from banditloop.pipelines.cli.supervisor import services
    from banditloop.pipelines.compile import compile_pipelines
    from banditloop.rl_core.promotion.monitor import check_canary
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.promotion.transitions import ensure_champion

    settings = load_config(config)
    platform = connect(settings)
    check_start(settings, platform)
    with (
        contextlib.suppress(KeyboardInterrupt),
        services(settings, display.line),
        display.progress(quiet=False) as report,
    ):
        ensure_champion(settings, platform.endpoint)
        compile_pipelines(Path(settings.retraining.template).parent, settings)
        url = ""
        while True:
            if url != (url := _url(platform) or url):
                display.line(f"endpoint {settings.backend.endpoint} serves at {url}; press Ctrl-C to stop")
            report("; ".join(_attempt(step, settings, platform) for step in (tick, check_canary)), None)
            time.sleep(INTERVAL_SECONDS)


def _url(platform: Platform) -> str:
    """The URL at which policies are served now; empty while there is none."""
    from banditloop.rl_core.backends.local.endpoint import LocalEndpoint

    endpoint = platform.endpoint
    return endpoint.url() if isinstance(endpoint, LocalEndpoint) and endpoint.serving_versions() else ""


def _attempt(step: Step, config: Config, platform: Platform) -> str:
    """Run one step and describe its outcome. Serving continues whatever error it raises."""
    try:
        action, reason = step(config, platform)
    except Exception as error:
        return f"{step.__name__} failed, will retry: {error}"
    return f"{action}: {reason}" if action else reason
