"""Accepting connections from the socket that workers share, so that all hold about the same number.

An event loop that listens by itself accepts all waiting connections: of many that come at once, one worker would get
all, and keep them.
"""

import asyncio
import socket
from collections.abc import Callable, Sized

from banditloop.rl_core.serving.worker_counts import WorkerCounts

WAIT_SECONDS, MAX_WAITS = 0.001, 20  # for which a connection is left to others, and how often: they may hang
FULL_SECONDS = 1.0  # until connections are accepted again when file descriptors have run out


class Acceptor:
    """Accepts connections from a listening socket: one at a time, and none while another worker holds fewer.

    connections: those that this worker holds.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Sized,
        counts: WorkerCounts,
    ) -> None:
        self._listener, self._protocol, self._connections, self._counts = listener, protocol, connections, counts
        self._loop, self._waits = asyncio.get_running_loop(), 0
        self._accepting: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._listener)
        if self._timer:
            self._timer.cancel()

    async def wait_closed(self) -> None:
        """Wait until the last accepted connections are made."""
        await asyncio.gather(*self._accepting, return_exceptions=True)

    def _accept(self) -> None:
        held = len(self._connections) + len(self._accepting)
        if self._counts.holds_more(held) and self._waits < MAX_WAITS:
            self._waits += 1
            return self._pause(WAIT_SECONDS)
        self._waits = 0
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker was faster, or the client is gone
            return
        except OSError:  # out of file descriptors
            return self._pause(FULL_SECONDS)
        connection.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, connection))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._timer = self._loop.call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._loop.add_reader(self._listener, self._accept)
