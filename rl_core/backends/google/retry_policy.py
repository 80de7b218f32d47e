"""Which errors of Google's client libraries are transient."""

from google.api_core import exceptions as google
from google.auth.exceptions import RefreshError, TransportError
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import Timeout

from banditloop.rl_core.backends.retries import RetryPolicy

TRANSIENT = (
    google.Aborted,
    google.BadGateway,
    google.DeadlineExceeded,
    google.GatewayTimeout,
    google.InternalServerError,
    google.RetryError,
    google.ServiceUnavailable,
    google.TooManyRequests,  # includes exceeded per-minute quotas
    RequestsConnectionError,
    Timeout,
    TransportError,
)
QUOTA_PROJECT = "; run `gcloud auth application-default set-quota-project PROJECT`"  # for a user's credentials
GOOGLE = RetryPolicy(
    "Google Cloud",
    (*TRANSIENT, google.GoogleAPIError, RefreshError),
    is_transient=lambda error: isinstance(error, TRANSIENT),
    remedy=lambda text: QUOTA_PROJECT if "quota project" in text else "",
)
