"""Patience with a platform: what fails for the moment is tried again, for a while, and then told in one line."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from google.api_core import exceptions as google
from google.auth.exceptions import RefreshError, TransportError
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import Timeout
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from rl_core.errors import PlatformError

Port = TypeVar("Port")
PATIENCE_SECONDS = 120.0
PASSING = (  # a quota by the minute is among them
    google.Aborted,
    google.BadGateway,
    google.DeadlineExceeded,
    google.GatewayTimeout,
    google.InternalServerError,
    google.RetryError,
    google.ServiceUnavailable,
    google.TooManyRequests,
    NoConnection,
    Timeout,
    TransportError,
)


class Faults(NamedTuple):
    """How a platform fails."""

    platform: str
    errors: tuple[type[Exception], ...]  # what its clients raise
    passing: Callable[[BaseException], bool]


GOOGLE = Faults(
    "Google Cloud", (*PASSING, google.GoogleAPIError, RefreshError), lambda error: isinstance(error, PASSING)
)


def patient(port: Port, faults: Faults = GOOGLE) -> Port:
    """The port, with methods that are patient. All of them may be called again: what was done is not done twice."""
    return cast(Port, _Patient(port, faults))


class _Patient:
    def __init__(self, port: Any, faults: Faults) -> None:
        self._port, self._faults = port, faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return functools.partial(patiently, self._faults, found) if callable(found) else found


def patiently(faults: Faults, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What `call` returns.

    Raises:
        PlatformError: the platform fails for too long, or refuses: for want of a permission, say.
    """
    again = Retrying(
        retry=retry_if_exception(faults.passing),
        wait=wait_random_exponential(multiplier=0.2, max=20),
        stop=stop_after_delay(PATIENCE_SECONDS),
        reraise=True,
    )
    try:
        return again(call, *arguments, **named)
    except faults.errors as error:
        said = getattr(error, "message", None) or getattr(error, "body", None) or str(error)
        raise PlatformError(f"{faults.platform}: {type(error).__name__}: {' '.join(str(said).split())}") from error
