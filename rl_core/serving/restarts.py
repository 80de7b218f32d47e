"""The back-off before a process that has ended is started again."""

import asyncio
import time

FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0  # of the pauses: a start costs a second of CPU time
SETTLED_SECONDS = 60.0  # a process that ran for so long did not end because of its start


class Restarts:
    """Exponential back-off between starts of a process; it begins anew once one has run for SETTLED_SECONDS."""

    def __init__(self) -> None:
        self._next, self._began = FIRST_SECONDS, time.monotonic()

    async def pause(self) -> None:
        """Wait until the process, which has ended, may be started again."""
        seconds = FIRST_SECONDS if time.monotonic() - self._began > SETTLED_SECONDS else self._next
        await asyncio.sleep(seconds)
        self._next, self._began = min(2 * seconds, MOST_SECONDS), time.monotonic()
