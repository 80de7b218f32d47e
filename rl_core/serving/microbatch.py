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
        self._requests: deque[tuple[Request, int]] = deque()  # with their sizes
        self._futures: deque[asyncio.Future[Answer]] = deque()  # of these requests

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()  # cached: a system call each time, in Python 3.11

    def submit(self, request: Request) -> asyncio.Future[Answer]:
        """The future answer to a request; it raises the exception that `answer` returned or raised."""
        sized = request, self._size(request)
        if not self._requests:
            self._loop.call_soon(self._collect, 0)
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._requests.append(sized)
        self._futures.append(future)
        return future

    def _collect(self, previously_pending: int) -> None:
        """Flush as soon as a round of the event loop brings no further request."""
        if previously_pending < len(self._requests):
            self._loop.call_soon(self._collect, len(self._requests))
        else:
            self._flush()

    def _flush(self) -> None:
        """Answer a batch.

        An error's traceback leads to this frame. If it held the error too, or its future, both would stay in memory
        until a garbage collection, and with them the bodies of the requests.
        """
        batch, total = [], 0
        while self._requests and total < self._target_size:
            request, size = self._requests.popleft()
            batch.append(request)
            total += size
        if self._requests:
            self._loop.call_soon(self._flush)
        self._settle(len(batch), self._answers(batch))

    def _settle(self, count: int, answers: Sequence[Answer | BaseException]) -> None:
        """Give the answers to the futures of the first `count` requests."""
        futures = [self._futures.popleft() for _ in range(count)]
        for future, answer in zip(futures, answers, strict=True):
            if future.done():  # cancelled: the client disconnected
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _answers(self, requests: list[Request]) -> Sequence[Answer | BaseException]:
        """The answers, or for each request the error: their futures wait for one, whatever is raised."""
        try:
            return self._answer(requests)
        except BaseException as error:  # a library may raise its own, which the event loop only logs
            return [error] * len(requests)
