"""When a process that has ended is started again."""

import asyncio
import time

FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0  # of the pauses: starting costs a second of the processor
SETTLED_SECONDS = 60.0  # after which the end of a process has nothing to do with its start


class Restarts:
    """The pauses before a process is started again: each twice as long as the last, until one has settled."""

    def __init__(self) -> None:
        self._next, self._began = FIRST_SECONDS, time.monotonic()

    async def pause(self) -> None:
        """Wait until the process, which has ended, may be started again."""
        seconds = FIRST_SECONDS if time.monotonic() - self._began > SETTLED_SECONDS else self._next
        await asyncio.sleep(seconds)
        self._next, self._began = min(2 * seconds, MOST_SECONDS), time.monotonic()
