"""The operations of `banditloop cloud` on a resource: probe its state, apply it, or destroy it."""

from google.api_core import exceptions as google

from banditloop.rl_core.backends.google.provisioning.resource import is_disabled
from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.retries import call_with_retries
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.ports import Resource, ResourceState

ABSENT = ("missing", "deferred", "absent")


def probe(resource: Resource) -> ResourceState:
    """State of a resource; "missing" if its API is disabled."""
    try:
        return call_with_retries(GOOGLE, resource.state)
    except PlatformError as error:
        if is_disabled(error.__cause__):
            return "missing"
        raise PlatformError(f"{resource}: {error}") from error


def apply(resource: Resource) -> ResourceState:
    """Create or update a resource if needed, or remove it if obsolete, and return its previous state."""
    try:
        return call_with_retries(GOOGLE, _apply, resource)
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
    try:
        if (state := resource.state()) in ("missing", "changed", "obsolete"):
            resource.make()
    except google.GoogleAPICallError as error:
        if is_disabled(error) or _is_propagation_delay(error):
            raise google.ServiceUnavailable(error.message) from error  # transient, so it is retried
        raise
    return state


def _destroy(resource: Resource) -> bool:
    """Remove a resource. A retry may find it removed, by a call whose response was lost or by another process."""
    return resource.state() in ABSENT or resource.remove()


def _is_propagation_delay(error: google.GoogleAPICallError) -> bool:
    """Whether a new service account may not be visible to a service yet. The services report this differently."""
    is_unknown = isinstance(error, google.BadRequest) and "does not exist" in error.message
    return is_unknown or isinstance(error, google.NotFound) or "iam.serviceaccounts.actAs" in error.message
