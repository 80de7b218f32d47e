"""A process that serves until it is told to stop: `python -m functions.logger`, say."""

import os
import signal
import sys
import threading
from collections.abc import Callable

from rl_core.config import Config
from rl_core.errors import InvalidInput

WITH_PARENT = "--with-parent"


def run(serve: Callable[[Config], None]) -> None:
    """Serve with $BANDITLOOP_CONFIG. Exits with 2 and one line where the config, or the machine, does not allow it.

    With --with-parent it stops when its standard input closes, so that it cannot outlive who started it.
    """
    if WITH_PARENT in sys.argv:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        serve(Config.from_environment())
    except InvalidInput as error:
        print(f"banditloop: {error}", file=sys.stderr)
        sys.exit(2)


def _stop_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would be in the way of the interpreter's end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
