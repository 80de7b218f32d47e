"""What the commands do with a resource: look at it, make it as it should be, or take it away."""

from google.api_core import exceptions as google

from rl_core.backends.google.patience import GOOGLE, patiently
from rl_core.backends.google.provisioning.resource import Resource, State
from rl_core.errors import PlatformError

DISABLED = ("SERVICE_DISABLED", "accessNotConfigured", "has not been used in project")
NOT_THERE = ("missing", "later")


def look(resource: Resource) -> State:
    """Its state. Where its API is disabled, it is missing."""
    try:
        return patiently(GOOGLE, resource.state)
    except PlatformError as error:
        if _is_disabled(error.__cause__):
            return "missing"
        raise PlatformError(f"{resource}: {error}") from error


def bring(resource: Resource) -> State:
    """Make it or mend it where that is needed, and return what it was before."""
    try:
        return patiently(GOOGLE, _bring, resource)
    except PlatformError as error:
        raise PlatformError(f"{resource}: {error}") from error


def take_away(resource: Resource, keep: bool) -> str:
    """Remove it where it is there, unless it is to be kept, and tell what came of that."""
    if look(resource) in NOT_THERE:
        return "is not there"
    if keep:
        return "stays: --data would remove it"
    try:
        return "removed" if patiently(GOOGLE, _take_away, resource) else "stays: others may use it"
    except PlatformError as error:
        raise PlatformError(f"{resource}: {error}") from error


def _bring(resource: Resource) -> State:
    try:
        if (state := resource.state()) in ("missing", "changed"):
            resource.make()
    except google.GoogleAPICallError as error:
        if _is_disabled(error) or _is_new(error):
            raise google.ServiceUnavailable(error.message) from error  # for the moment
        raise
    return state


def _take_away(resource: Resource) -> bool:
    """Again, it may be gone: the answer was lost, or somebody else was first."""
    return resource.state() in NOT_THERE or resource.remove()


def _is_new(error: google.GoogleAPICallError) -> bool:
    """Whether it may be of an account that was just made: IAM takes a while to tell of it, each service in its way."""
    unknown = isinstance(error, google.BadRequest) and "does not exist" in error.message
    return unknown or isinstance(error, google.NotFound) or "iam.serviceaccounts.actAs" in error.message


def _is_disabled(error: BaseException | None) -> bool:
    return isinstance(error, google.Forbidden) and any(word in f"{error} {error.reason}" for word in DISABLED)
