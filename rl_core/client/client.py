"""The client for code that waits for its answers."""

from collections.abc import Iterable, Mapping
from typing import Any, Self, Unpack

import httpx
from tenacity import Retrying

from banditloop.rl_core.client.requests import (
    Context,
    Json,
    Options,
    RewardOptions,
    Settings,
    answer,
    decisions,
    instance,
    predict_request,
)
from banditloop.rl_core.events.decision import Decision


class Client(Settings):
    """A client of the endpoint at a URL, as "http://127.0.0.1:8080". Threads may share it.

    Every method raises InvalidInput where the server refuses the request, Unavailable or httpx.TransportError where it
    does not answer in time, and httpx.HTTPStatusError for any other error status.
    """

    def __init__(self, *settings: Any, **named: Any) -> None:
        super().__init__(*settings, **named)
        self._session, self._retrying = httpx.Client(**self._http), Retrying(**self._retries)

    def rank(self, context: Context | None = None, **options: Unpack[Options]) -> Decision:
        """The decision for a context: features by name, or the numbers of a plain vector."""
        return self.rank_all([instance(context, options)])[0]

    def rank_all(self, instances: Iterable[Any]) -> list[Decision]:
        """The decisions for instances, as in the JSON of a predict request."""
        return decisions(self._post("/predict", predict_request(instances)))

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
        return self._retrying(lambda: answer(self._session.post(**self._request(route, content))))
