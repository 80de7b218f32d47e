"""The operations of `banditloop cloud` on a resource: probe its state, apply it, or destroy it."""

import re
from collections.abc import Callable
from time import sleep

from google.api_core import exceptions as google
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from banditloop.rl_core.backends.google.provisioning.resource import is_disabled
from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.retries import call_with_retries
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.ports import Resource, ResourceState

ABSENT = ("missing", "deferred", "absent")
PROPAGATION_SECONDS, MAX_PAUSE_SECONDS = 600.0, 15.0  # of enabled APIs, new accounts and granted roles
ACCOUNT = re.compile("service.?account", re.IGNORECASE)
# errors about permission to act as an account, about a service agent, or about the build's account
ROLE = re.compile("actAs|@gcp-sa-|permission on the build service account", re.IGNORECASE)
Report = Callable[[str], object]


def probe(resource: Resource) -> ResourceState:
    """State of a resource; "missing" if its API is disabled."""
    try:
        return call_with_retries(GOOGLE, resource.state)
    except PlatformError as error:
        if is_disabled(error.__cause__):
            return "missing"
        raise PlatformError(f"{resource}: {error}") from error


def apply(resource: Resource, report: Report = lambda text: None) -> ResourceState:
    """Create or update a resource if needed, or remove it if obsolete, and return its previous state.

    APIs, accounts and roles that were just created take minutes to reach all of Google's services. Errors due to this
    delay are reported and retried.
    """

    def report_wait(state: RetryCallState) -> None:
        report(f"waiting for {resource}: {state.outcome and state.outcome.exception()}")

    retrying = Retrying(
        retry=retry_if_exception(_is_propagation_delay),
        wait=wait_random_exponential(multiplier=2.0, max=MAX_PAUSE_SECONDS),
        stop=lambda state: max(state.idle_for, state.seconds_since_start or 0) >= PROPAGATION_SECONDS,
        sleep=sleep,
        before_sleep=report_wait,
        reraise=True,
    )
    try:
        return retrying(call_with_retries, GOOGLE, _apply, resource)
    except PlatformError as error:
        raise PlatformError(f"{resource}: {error}") from error


def destroy(resource: Resource, keep: bool) -> str:
    """Remove a resource if it exists and is not to be kept; returns the outcome in words."""
    if probe(resource) in ABSENT:
        return "does not exist"
    if keep:
        return "kept: --delete-data deletes it"
    try:
        return "removed" if call_with_retries(GOOGLE, _destroy, resource) else "kept: others may use it"
    except PlatformError as error:
        raise PlatformError(f"{resource}: {error}") from error


def _apply(resource: Resource) -> ResourceState:
    if (state := resource.state()) in ("missing", "changed", "obsolete"):
        resource.make()
    return state


def _destroy(resource: Resource) -> bool:
    """Remove a resource. A retry may find it removed, by a call whose response was lost or by another process."""
    return resource.state() in ABSENT or resource.remove()


def _is_propagation_delay(error: BaseException) -> bool:
    """Whether an API, an account or a role may not have reached all of Google's services yet.

    The services report this differently. Any other missing permission is the user's, and no reason to wait.
    """
    cause = error.__cause__
    if not isinstance(cause, google.ClientError):
        return False
    if is_disabled(cause) or ROLE.search(cause.message):
        return True
    if isinstance(cause, google.NotFound):
        return ACCOUNT.search(cause.message) is not None
    return isinstance(cause, google.BadRequest) and "not exist" in cause.message
