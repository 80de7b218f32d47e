"""Delivery of a batch of messages to a handler, and what happens to each when the handler fails."""

import logging
from collections.abc import Callable
from typing import TypeVar

from banditloop.rl_core.errors import InvalidInput

M = TypeVar("M")
MAX_FAILURES = 30  # finding one bad message of 50,000 takes 17; after more, the fault is not in single messages


def deliver_messages(
    messages: list[M],
    handle: Callable[[list[M]], object],
    acknowledge: Callable[[list[M]], object],
    dead_letter: Callable[[M, str], object],
    release: Callable[[list[M]], object],
    log: logging.Logger,
) -> None:
    """Handle messages as one batch and, if that fails, each half of them, down to single messages.

    When handling a single message raises InvalidInput, it becomes a dead letter and is acknowledged; after any other
    error it is released, to be redelivered when its lease ends. After MAX_FAILURES such errors batches are no longer
    halved: one that fails is released whole.
    """
    waiting, failures = [messages], 0
    while waiting:
        batch = waiting.pop()
        middle = len(batch) // 2
        try:
            handle(batch)
        except Exception as error:
            invalid = isinstance(error, InvalidInput)
            failures += not invalid
            if middle and failures < MAX_FAILURES:
                waiting += [batch[middle:], batch[:middle]]
                continue
            if middle or not invalid:
                log.warning("%d messages will be redelivered: %r", len(batch), error)
                release(batch)
                continue
            dead_letter(batch[0], str(error))
        acknowledge(batch)
