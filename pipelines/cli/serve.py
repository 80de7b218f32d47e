"""The command `serve`: the processes around the pipelines on one machine."""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.events import Event, Unrepeated, What
from banditloop.pipelines.cli.options import ConfigOption, load_config
from banditloop.pipelines.cli.progress import Report, progress
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Platform

INTERVAL_SECONDS = 1.0
Step = Callable[[Config, Platform], tuple[str | None, str]]  # returns what it did, if anything, and why
Tell = Callable[[Event], object]
FormatOption = Annotated[
    Literal["text", "json"], typer.Option("--log-format", help="Lines for people, or a JSON object per line.")
]


def serve(config: ConfigOption = None, log_format: FormatOption = "text") -> None:
    """Run the endpoint, the logger, the trigger and the monitor on this machine until interrupted.

    Prints the URL, then a line for every event: what was trained, judged, promoted, rolled back, failed, restarted.
    Before the first training it serves the random policy, from whose decisions the loop learns.

    Example: `banditloop serve -c loop.toml`

    Example: `banditloop serve -c loop.toml --log-format json >> events.jsonl`
    """
    from banditloop.pipelines.cli.supervisor import services
    from banditloop.pipelines.compile import compile_pipelines
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.promotion.transitions import ensure_champion

    settings = load_config(config)
    platform = connect(settings)
    check_start(settings, platform)
    as_json, unrepeated = log_format == "json", Unrepeated()
    quiet = as_json or not display.console.is_terminal

    def tell(event: Event) -> None:
        if unrepeated.is_new(event):
            display.line(event.json() if as_json else event.line())

    with contextlib.suppress(KeyboardInterrupt), services(settings, tell), progress(quiet) as report:
        ensure_champion(settings, platform.endpoint)
        compile_pipelines(Path(settings.retraining.template).parent, settings, keep_others=True)
        _serve(settings, platform, tell, report)
    tell(Event("stopped", f"endpoint {settings.backend.endpoint}"))


def _serve(config: Config, platform: Platform, tell: Tell, report: Report) -> None:
    """Do the steps, and tell what happens, for ever."""
    from banditloop.functions.trigger import tick
    from banditloop.pipelines.cli.follower import Follower
    from banditloop.rl_core.promotion.monitor import check_canary

    logging.getLogger("banditloop").addHandler(_Warnings(tell))
    follower, url = Follower(platform), ""

    def follow(config: Config, platform: Platform) -> tuple[None, str]:
        for event in follower.events():
            tell(event)
        return None, ""

    steps = [_Retried(step, tell) for step in (tick, check_canary, follow)]
    while True:
        if url != (url := _url(platform) or url):
            text = f"endpoint {config.backend.endpoint} serves at {url}; press Ctrl-C to stop"
            tell(Event("serving", text))
        outcomes = [step.attempt(config, platform) for step in steps]
        report("; ".join(filter(None, outcomes)))
        time.sleep(INTERVAL_SECONDS)


class _Retried:
    """A step that is tried again, whatever error it raises; the same error is told once."""

    def __init__(self, step: Step, tell: Tell) -> None:
        self._step, self._tell, self._error = step, tell, ""

    def attempt(self, config: Config, platform: Platform) -> str:
        """Do the step, and return its outcome as a text."""
        try:
            action, reason = self._step(config, platform)
        except Exception as error:
            text = f"{self._step.__name__} failed, will retry: {error}"
            if text != self._error:
                self._tell(Event("failed", text))
            self._error = text
            return text
        self._error = ""
        return f"{action}: {reason}" if action else reason


class _Warnings(logging.Handler):
    """Tells warnings of this process."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a warning."""
        kind: What = "repaired" if getattr(record, "event", "") == "repaired" else "warning"
        self._tell(Event(kind, record.getMessage()))


def _url(platform: Platform) -> str:
    """The URL at which policies are served now; empty while there is none."""
    from banditloop.rl_core.backends.local.endpoint import LocalEndpoint

    endpoint = platform.endpoint
    return endpoint.url() if isinstance(endpoint, LocalEndpoint) and endpoint.serving_versions() else ""
