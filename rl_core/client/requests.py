"""Requests to the endpoint and their answers: what both clients have in common."""

import functools
import ssl
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

import httpx
from tenacity import retry_if_exception, stop_after_delay, wait_random_exponential

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.decision import Decision
from banditloop.rl_core.settings.secrets import token as token_from_environment

Json = dict[str, Any]
Context = Mapping[str, Any] | Sequence[float]
REFUSED = (400, 401, 403, 404, 409, 413, 415, 422)
TRANSIENT = (408, 429, 502, 503, 504)  # the server is starting or overloaded, or a proxy does not reach it


class Options(TypedDict, total=False):
    """Options of a request for a decision."""

    actions: Sequence[Any]  # candidates: ids, or objects of an id and features; all of the catalogue if not given
    exclude: Sequence[Any]  # ids of candidates that must not be chosen
    user: str  # key that gets the same version of the policy at every visit
    event_id: str  # id of the decision
    episode_id: str  # id of the episode that the decision belongs to
    step: int  # number of the decision in its episode, from 0 on
    deferred: bool  # the decision counts only once it is activated, when a user saw it
    explain: bool  # also answer the probabilities of all candidates


class RewardOptions(TypedDict, total=False):
    """Options of a reward."""

    name: str  # default: the config's
    timestamp: str  # time at which it was earned, in ISO 8601 with a time zone; default: now
    source_id: str  # distinguishes several rewards of one decision


class Unavailable(Exception):
    """The server was starting or overloaded, or a proxy did not reach it, until the retries ran out."""


class Settings:
    """The settings that both clients share.

    url: of the endpoint, or a function that returns it. token: default $BANDITLOOP_TOKEN, or the content of the file
    $BANDITLOOP_TOKEN_FILE, if either is set. timeout: of one request, in seconds. retry_seconds: how long a failed
    request is sent again.
    """

    def __init__(
        self, url: str | Callable[[], str], token: str | None = None, timeout: float = 5.0, retry_seconds: float = 30.0
    ) -> None:
        self._url, self._token = url, token
        self._http: Json = {"timeout": timeout, "verify": trusted()}
        self._retries: Json = {
            "retry": retry_if_exception(_is_transient),
            "stop": stop_after_delay(retry_seconds),
            "wait": wait_random_exponential(multiplier=0.1, max=2.0),
            "reraise": True,
        }

    def _request(self, route: str, content: Json) -> Json:
        """The arguments of a post. URL and token are looked up anew, since either may have changed."""
        url = self._url if isinstance(self._url, str) else self._url()
        token = self._token or token_from_environment()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return {"url": url.rstrip("/") + route, "json": content, "headers": headers}


@functools.cache
def trusted() -> ssl.SSLContext:
    """The trusted certificates. Reading them takes 30 ms: it is done once in a process, not for each client."""
    return httpx.create_ssl_context()


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError | Unavailable)


def answer(response: httpx.Response) -> Json:
    """The content of an answer; raises InvalidInput or Unavailable where it is an error."""
    if response.status_code in REFUSED:
        raise InvalidInput(_error(response))
    if response.status_code in TRANSIENT:
        raise Unavailable(f"{response.url}: {_error(response)}")
    return response.raise_for_status().json()


def _error(response: httpx.Response) -> str:
    try:
        return response.json()["error"]
    except (ValueError, LookupError, TypeError):  # the answer is a proxy's
        return f"{response.status_code} {response.reason_phrase}"


def instance(context: Context | None, options: Options) -> Json:
    """An instance of a predict request: a context by name, or the numbers of a plain vector."""
    name = "context" if context is None or isinstance(context, Mapping) else "observation"
    return {name: {} if context is None else context, **options}


def predict_request(instances: Iterable[Any]) -> Json:
    """A predict request with an id of its own, so that it may be sent again."""
    return {"instances": list(instances), "parameters": {"request_id": uuid.uuid4().hex}}


def decisions(answer: Json) -> list[Decision]:
    """The decisions of an answer; fields that a newer server adds are left out."""
    return [
        Decision(**{field: prediction[field] for field in Decision._fields if field in prediction})
        for prediction in answer["predictions"]
    ]
