"""Clients of the endpoint: decisions, and the rewards that they earn later.

A request is sent again while the server is starting, overloaded or unreachable. It carries an id, so that a repeated
one gets the same decisions, and nothing is logged twice.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypedDict, Unpack

import httpx
from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.secrets import token as token_from_environment

Json = dict[str, Any]
Context = Mapping[str, Any] | Sequence[float]
OVERLOADED, REFUSED = (429, 503), (400, 401, 403, 404, 409, 413, 415, 422)


class Options(TypedDict, total=False):
    """What a decision may be asked with."""

    actions: Sequence[Any]  # candidates: ids, or objects of an id and features; all of the catalogue if not given
    exclude: Sequence[Any]  # ids of candidates that must not be chosen
    user: str  # key that gets the same version of the policy at every visit
    event_id: str  # id of the decision
    episode_id: str  # id of the episode that it belongs to, and its number in it
    step: int
    deferred: bool  # it counts only once it is activated, when a user saw it
    explain: bool  # also answer the probabilities of all candidates


class RewardOptions(TypedDict, total=False):
    """What a reward may be sent with."""

    name: str  # default: the config's
    timestamp: str  # time at which it was earned, in ISO 8601 with a time zone; default: now
    source_id: str  # distinguishes several rewards of one decision


class Decision(NamedTuple):
    """The chosen action, the probability with which it was chosen, and the version of the policy that chose it.

    probabilities: of all candidates, by id, where the request asked to explain.
    """

    event_id: str
    action: Any
    propensity: float
    policy_version: str
    probabilities: dict[str, float] | None = None


class Unavailable(Exception):
    """The server could not answer for as long as the request was repeated."""


class _Settings:
    """What both clients are made with.

    token: default $BANDITLOOP_TOKEN, if it is set. timeout: of one request, in seconds. retry_seconds: for which a
    request is sent again.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 5.0, retry_seconds: float = 30.0) -> None:
        token = token or token_from_environment()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http: Json = {"base_url": url, "timeout": timeout, "headers": headers}
        self._retries: Json = {
            "retry": retry_if_exception(_is_transient),
            "stop": stop_after_delay(retry_seconds),
            "wait": wait_random_exponential(multiplier=0.1, max=2.0),
            "reraise": True,
        }


class Client(_Settings):
    """A client of the endpoint at a URL, such as "http://127.0.0.1:8080". Threads may share it.

    Every method raises InvalidInput where the server refuses the request, and Unavailable or httpx.TransportError where
    it does not answer in time.
    """

    def __init__(self, *settings: Any, **named: Any) -> None:
        super().__init__(*settings, **named)
        self._session, self._retrying = httpx.Client(**self._http), Retrying(**self._retries)

    def rank(self, context: Context | None = None, **options: Unpack[Options]) -> Decision:
        """The decision for a context: features by name, or the numbers of a plain vector."""
        return self.rank_all([_instance(context, options)])[0]

    def rank_all(self, instances: Iterable[Any]) -> list[Decision]:
        """The decisions for instances, as in the JSON of a predict request."""
        return _decisions(self._post("/predict", _predict_request(instances)))

    def reward(self, event_id: str, value: float, **options: Unpack[RewardOptions]) -> None:
        """Log a reward of a decision."""
        self.reward_all([{"event_id": event_id, "value": value, **options}])

    def reward_all(self, rewards: Iterable[Mapping[str, Any]]) -> None:
        """Log rewards, as in the JSON of a reward request."""
        self._post("/reward", {"rewards": list(rewards)})

    def activate(self, *event_ids: str) -> None:
        """Say that users have seen deferred decisions."""
        self._post("/activate", {"event_ids": list(event_ids)})

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _post(self, route: str, content: Json) -> Json:
        return self._retrying(lambda: _answer(self._session.post(route, json=content)))


class AsyncClient(_Settings):
    """As Client, for asyncio."""

    def __init__(self, *settings: Any, **named: Any) -> None:
        super().__init__(*settings, **named)
        self._session, self._retrying = httpx.AsyncClient(**self._http), AsyncRetrying(**self._retries)

    async def rank(self, context: Context | None = None, **options: Unpack[Options]) -> Decision:
        """The decision for a context: features by name, or the numbers of a plain vector."""
        return (await self.rank_all([_instance(context, options)]))[0]

    async def rank_all(self, instances: Iterable[Any]) -> list[Decision]:
        """The decisions for instances, as in the JSON of a predict request."""
        return _decisions(await self._post("/predict", _predict_request(instances)))

    async def reward(self, event_id: str, value: float, **options: Unpack[RewardOptions]) -> None:
        """Log a reward of a decision."""
        await self.reward_all([{"event_id": event_id, "value": value, **options}])

    async def reward_all(self, rewards: Iterable[Mapping[str, Any]]) -> None:
        """Log rewards, as in the JSON of a reward request."""
        await self._post("/reward", {"rewards": list(rewards)})

    async def activate(self, *event_ids: str) -> None:
        """Say that users have seen deferred decisions."""
        await self._post("/activate", {"event_ids": list(event_ids)})

    async def close(self) -> None:
        """Close the connections."""
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _post(self, route: str, content: Json) -> Json:
        async def post() -> Json:
            return _answer(await self._session.post(route, json=content))

        return await self._retrying(post)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError | Unavailable)


def _answer(response: httpx.Response) -> Json:
    """The content of an answer; raises InvalidInput or Unavailable where it is an error."""
    if response.status_code in REFUSED:
        raise InvalidInput(_error(response))
    if response.status_code in OVERLOADED:
        raise Unavailable(f"{response.url}: {_error(response)}")
    return response.raise_for_status().json()


def _error(response: httpx.Response) -> str:
    try:
        return response.json()["error"]
    except (ValueError, LookupError, TypeError):  # of a proxy in between
        return f"{response.status_code} {response.reason_phrase}"


def _instance(context: Context | None, options: Options) -> Json:
    name = "context" if context is None or isinstance(context, Mapping) else "observation"
    return {name: {} if context is None else context, **options}


def _predict_request(instances: Iterable[Any]) -> Json:
    return {"instances": list(instances), "parameters": {"request_id": uuid.uuid4().hex}}


def _decisions(answer: Json) -> list[Decision]:
    return [Decision(**prediction) for prediction in answer["predictions"]]
