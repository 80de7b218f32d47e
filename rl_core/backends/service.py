"""A process that serves until it is told to stop: `python -m functions.logger`, say."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from pythonjsonlogger.json import JsonFormatter

from rl_core.config import Config
from rl_core.errors import InvalidInput, PlatformError

WITH_PARENT, LOG_LEVEL = "--with-parent", "BANDITLOOP_LOG_LEVEL"


def run(serve: Callable[[Config], None]) -> None:
    """Serve with $BANDITLOOP_CONFIG. Exits with 2 and one line where the config, or the machine, does not allow it.

    It logs JSON lines to stderr, from $BANDITLOOP_LOG_LEVEL upwards: at DEBUG every decision with its ids.

    With --with-parent it stops when its standard input closes, so that it cannot outlive who started it.
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
    """Log JSON lines, with the names that Cloud Logging looks for, from $BANDITLOOP_LOG_LEVEL upwards."""
    level = os.environ.get(LOG_LEVEL, "INFO")
    if level not in logging.getLevelNamesMapping():
        raise InvalidInput(f"${LOG_LEVEL} = {level!r}: is not one of: {', '.join(logging.getLevelNamesMapping())}")
    handler = logging.StreamHandler()
    names = {"levelname": "severity", "name": "logger"}
    handler.setFormatter(JsonFormatter([*names, "message"], rename_fields=names, timestamp="time"))
    logging.basicConfig(handlers=[handler], level="WARNING")
    logging.getLogger("banditloop").setLevel(level)


def _stop_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would be in the way of the interpreter's end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
