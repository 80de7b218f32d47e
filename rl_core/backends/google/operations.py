"""Long-running operations of Google Cloud: their results, or one line about why there is none."""

import logging
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from banditloop.rl_core.errors import PlatformError

log = logging.getLogger("banditloop.google")


class OperationFailed(PlatformError):
    """An operation failed, with Google Cloud's own message, or is not done in time."""


def wait(operation: Any, seconds: float, what: str = "") -> Any:
    """The result of an operation, once it is done. `what` (the work and its duration) is logged before waiting.

    Raises:
        OperationFailed: it failed, or is not done after so many seconds.
    """
    if what and not operation.done():
        log.info("%s", what)
    try:
        error = operation.exception(seconds)
    except FutureTimeoutError:
        raise OperationFailed(f"it is not done after {seconds:,.0f} s") from None
    if error:
        raise OperationFailed(" ".join((getattr(error, "message", None) or str(error)).split())) from error
    return operation.result()
