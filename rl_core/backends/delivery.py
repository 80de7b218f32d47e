"""Delivery of a batch of messages to a handler, and what happens to each when the handler fails."""

import logging
from collections.abc import Callable
from typing import TypeVar

from banditloop.rl_core.errors import InvalidInput

M = TypeVar("M")


def deliver_messages(
    messages: list[M],
    handle: Callable[[list[M]], object],
    acknowledge: Callable[[list[M]], object],
    dead_letter: Callable[[M, str], object],
    release: Callable[[list[M]], object],
    log: logging.Logger,
) -> None:
    """Handle messages as one batch and, if that fails, each alone.

    When handling a single message raises InvalidInput, it becomes a dead letter and is acknowledged; after any other
    error it is released, to be redelivered when its lease ends.
    """
    try:
        handle(messages)
    except Exception as error:
        if len(messages) > 1:
            for message in messages:
                deliver_messages([message], handle, acknowledge, dead_letter, release, log)
            return
        if not isinstance(error, InvalidInput):
            log.warning("a message will be redelivered: %r", error)
            release(messages)
            return
        dead_letter(messages[0], str(error))
    acknowledge(messages)
