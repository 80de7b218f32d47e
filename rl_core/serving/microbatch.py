"""Micro-batching: requests that arrive at the same moment are answered in one call, for little more than one costs."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class MicroBatch(Generic[Request, Answer]):
    """Batches the requests that arrive in the same rounds of the event loop; no request waits for later ones.

    `answer` returns an answer or an exception for each request. A batch is closed once the `size` of its requests adds
    up to `target_size`, so that a small request need not wait for many large ones.
    """

    def __init__(
        self,
        answer: Callable[[list[Request]], Sequence[Answer | Exception]],
        size: Callable[[Request], int],
        target_size: int,
    ) -> None:
        self._answer, self._size, self._target_size = answer, size, target_size
        self._pending: deque[tuple[Request, asyncio.Future[Answer]]] = deque()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()  # cached: a system call each time, in Python 3.11

    def submit(self, request: Request) -> asyncio.Future[Answer]:
        """The future answer to a request; it raises the exception that `answer` returned or raised."""
        if not self._pending:
            self._loop.call_soon(self._collect, 0)
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._pending.append((request, future))
        return future

    def _collect(self, previously_pending: int) -> None:
        """Flush as soon as a round of the event loop brings no further request."""
        if previously_pending < len(self._pending):
            self._loop.call_soon(self._collect, len(self._pending))
        else:
            self._flush()

    def _flush(self) -> None:
        batch, size = [], 0
        while self._pending and size < self._target_size:
            batch.append(self._pending.popleft())
            size += self._size(batch[-1][0])
        if self._pending:
            self._loop.call_soon(self._flush)
        for (_, future), answer in zip(batch, self._answers([request for request, _ in batch]), strict=True):
            if future.done():  # cancelled: the client disconnected
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _answers(self, requests: list[Request]) -> Sequence[Answer | Exception]:
        try:
            return self._answer(requests)
        except Exception as error:
            return [error] * len(requests)
