"""Retries of transient platform errors with exponential backoff, up to a time limit; then one PlatformError."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential
from tenacity.stop import stop_base

from banditloop.rl_core.errors import PlatformError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
RETRY_SECONDS = 120.0


class RetryPolicy(NamedTuple):
    """Which errors of a platform are retried."""

    platform: str
    errors: tuple[type[Exception], ...]  # all that its clients raise
    is_transient: Callable[[BaseException], bool]
    remedy: Callable[[str], str] = lambda text: ""  # what to do about an error, from its text


def retry_while(
    is_transient: Callable[[BaseException], bool],
    seconds: float,
    max_pause: float = 20.0,
    max_attempts: int | None = None,
) -> Callable[[F], F]:
    """Decorator that retries a call while it raises a transient error, for at most `seconds` and `max_attempts`.

    The pauses are random and grow exponentially up to `max_pause` seconds. The last error is raised.
    """
    stop: stop_base = stop_after_delay(seconds)
    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=0.2, max=max_pause),
        stop=stop | stop_after_attempt(max_attempts) if max_attempts else stop,
        reraise=True,
    )
    return retrying.wraps


def with_retries(port: T, policy: RetryPolicy) -> T:
    """The port with every method retried; its methods must be idempotent, or tolerate repetition."""
    return cast(T, _WithRetries(port, policy))


class _WithRetries:
    def __init__(self, port: Any, policy: RetryPolicy) -> None:
        self._port, self._policy = port, policy

    def __getattr__(self, name: str) -> Any:
        if name == "_port":  # of a copy that has no attributes yet
            raise AttributeError(name)
        attribute = getattr(self._port, name)
        return functools.partial(call_with_retries, self._policy, attribute) if callable(attribute) else attribute


def call_with_retries(policy: RetryPolicy, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Result of `call`, with transient errors retried for RETRY_SECONDS.

    Raises:
        PlatformError: the platform kept failing, or refused the call (because of a missing permission, say).
    """
    try:
        return retry_while(policy.is_transient, RETRY_SECONDS)(call)(*arguments, **named)
    except policy.errors as error:
        text = getattr(error, "message", None) or getattr(error, "body", None) or str(error)
        line = f"{policy.platform}: {type(error).__name__}: {' '.join(str(text).split())}"
        raise PlatformError(line + policy.remedy(line)) from error
