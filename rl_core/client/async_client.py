"""The client for asyncio."""

from collections.abc import Iterable, Mapping
from typing import Any, Self, Unpack

import httpx
from tenacity import AsyncRetrying

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


class AsyncClient(Settings):
    """As Client, for asyncio."""

    def __init__(self, *settings: Any, **named: Any) -> None:
        super().__init__(*settings, **named)
        self._session, self._retrying = httpx.AsyncClient(**self._http), AsyncRetrying(**self._retries)

    async def rank(self, context: Context | None = None, **options: Unpack[Options]) -> Decision:
        """The decision for a context: features by name, or the numbers of a plain vector."""
        return (await self.rank_all([instance(context, options)]))[0]

    async def rank_all(self, instances: Iterable[Any]) -> list[Decision]:
        """The decisions for instances, as in the JSON of a predict request."""
        return decisions(await self._post("/predict", predict_request(instances)))

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
            return answer(await self._session.post(**self._request(route, content)))

        return await self._retrying(post)
