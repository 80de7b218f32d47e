"""Micro-batches: what is asked at the same moment is answered together, which costs hardly more than one answer."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class MicroBatch(Generic[Asked, Answered]):
    """Gathers what comes in one round of the event loop; nobody waits for others to come.

    `answer` gives an answer or an exception for each. A batch ends where its `size` adds up to `enough`, so that a
    small request need not wait for many large ones.
    """

    def __init__(
        self, answer: Callable[[list[Asked]], Sequence[Answered | Exception]], size: Callable[[Asked], int], enough: int
    ) -> None:
        self._answer, self._size, self._enough = answer, size, enough
        self._waiting: deque[tuple[Asked, asyncio.Future[Answered]]] = deque()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()  # a system call each time, in Python 3.11

    def ask(self, asked: Asked) -> asyncio.Future[Answered]:
        """The answer, or the exception that stands for it."""
        if not self._waiting:
            self._loop.call_soon(self._gather, 0)
        future: asyncio.Future[Answered] = self._loop.create_future()
        self._waiting.append((asked, future))
        return future

    def _gather(self, before: int) -> None:
        """Wait as long as every round of the event loop brings more."""
        if before < len(self._waiting):
            self._loop.call_soon(self._gather, len(self._waiting))
        else:
            self._round()

    def _round(self) -> None:
        batch, size = [], 0
        while self._waiting and size < self._enough:
            batch.append(self._waiting.popleft())
            size += self._size(batch[-1][0])
        if self._waiting:
            self._loop.call_soon(self._round)
        for (_, future), answer in zip(batch, self._answers([asked for asked, _ in batch]), strict=True):
            if future.done():  # whoever asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _answers(self, asked: list[Asked]) -> Sequence[Answered | Exception]:
        try:
            return self._answer(asked)
        except Exception as error:
            return [error] * len(asked)
