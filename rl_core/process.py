"""Entry point of long-running processes, such as `python -m banditloop.functions.logger`, and their JSON logging."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from pythonjsonlogger.json import JsonFormatter

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput, PlatformError

WITH_PARENT, LOG_LEVEL = "--with-parent", "BANDITLOOP_LOG_LEVEL"


def run(serve: Callable[[Config], None]) -> None:
    """Run `serve` with the config in $BANDITLOOP_CONFIG until it returns.

    Logs JSON lines to stderr, from level $BANDITLOOP_LOG_LEVEL on; DEBUG includes every decision with its ids. An
    InvalidInput is printed as one line and exits with 2; a PlatformError exits with 1.

    With --with-parent the process terminates when its standard input closes, so that it does not outlive its parent.
    """
    if WITH_PARENT in sys.argv:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        log_as_json()
        serve(Config.from_environment())
    except (InvalidInput, PlatformError) as error:
        print(f"banditloop: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)


def log_as_json() -> None:
    """Log JSON lines with the field names of Cloud Logging, from level $BANDITLOOP_LOG_LEVEL on."""
    level = os.environ.get(LOG_LEVEL, "INFO")
    if level not in logging.getLevelNamesMapping():
        raise InvalidInput(f"${LOG_LEVEL} = {level!r}: is not one of: {', '.join(logging.getLevelNamesMapping())}")
    handler = logging.StreamHandler()
    names = {"levelname": "severity", "name": "logger"}
    handler.setFormatter(JsonFormatter([*names, "message"], rename_fields=names, timestamp="time"))
    logging.basicConfig(handlers=[handler], level="WARNING")
    logging.getLogger("banditloop").setLevel(level)


def _stop_with_parent() -> None:
    while os.read(0, 1):  # sys.stdin has a lock that would block the interpreter's shutdown
        pass
    os.kill(os.getpid(), signal.SIGTERM)
