"""The predictor: the endpoint's web server, after the contract of Vertex AI's custom containers.

It serves the one policy of AIP_STORAGE_URI or, without it, the release of the config's endpoint.
The answer goes out once the decisions are on disk; they reach the bus from there.
"""

import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterable, Sequence

import orjson
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from threadpoolctl import threadpool_limits

from rl_core import openapi
from rl_core.asking import Request, read_asks
from rl_core.backends import HEALTH_ROUTE, PREDICT_ROUTE, connect, fetched, service
from rl_core.backends.guard import COME_AGAIN, Guard, token
from rl_core.backends.metrics import RequestMetrics, outbox_family, version_families
from rl_core.backends.microbatch import MicroBatch
from rl_core.backends.one_write import OneWrite
from rl_core.backends.outbox import Outbox
from rl_core.backends.publisher import keep_publishing, outbox_folder
from rl_core.backends.served import Follower, OnePolicy
from rl_core.backends.web import App, Reply, Route, create_app, json
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.predictions import Answer, Recommender
from rl_core.rewards import Event, read_activations, read_rewards

REWARD_ROUTE, ACTIVATE_ROUTE, METRICS_ROUTE, OPENAPI_ROUTE = "/reward", "/activate", "/metrics", "/openapi.json"
POLL_SECONDS, RETRY_SECONDS = 0.1, 2.0
ROWS_AT_ONCE = 256
GRACE_SECONDS = 5
log = logging.getLogger("banditloop.predictor")


class Predictor:
    """What the endpoint answers, as `follower` says. Decisions and rewards are logged through outboxes."""

    def __init__(self, follower: Follower, decisions: Outbox, rewards: Outbox, config: Config) -> None:
        self._follower, self._reward_name = follower, config.reward.name
        self._decisions, self._rewards = decisions, rewards
        self._recommender = Recommender(decisions.put, config.log.sample)
        self._batch = MicroBatch(self._recommend, lambda request: len(request.asks), ROWS_AT_ONCE)
        self._metrics = RequestMetrics(self._families)

    def app(self, guard: Guard, predict_route: str, health_route: str) -> App:
        """The ASGI app of its routes."""
        routes = {
            predict_route: Route(self._predict),
            REWARD_ROUTE: Route(self._reward),
            ACTIVATE_ROUTE: Route(self._activate),
            health_route: Route(self._health, "GET", open_to_all=True),
            METRICS_ROUTE: Route(self._scrape, "GET"),
            OPENAPI_ROUTE: Route(self._describe, "GET"),
        }
        self._paths = predict_route, REWARD_ROUTE, ACTIVATE_ROUTE
        return create_app(routes, guard, self._metrics.observe, self._living)

    @contextlib.asynccontextmanager
    async def _living(self) -> AsyncIterator[None]:
        """From the first request to the last one's answer; then what was logged still goes to the bus."""
        beside = [asyncio.create_task(task()) for task in (self._follow, keep_publishing)]
        yield
        self._decisions.close()
        self._rewards.close()
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)

    async def _follow(self) -> None:
        """Keep up with the release, for ever."""
        while True:
            try:
                await asyncio.to_thread(self._follower.refresh)
                await asyncio.sleep(POLL_SECONDS)
            except Exception as error:  # whatever is wrong with a new version, the old ones go on
                log.error("%s; still serving %s", error, ", ".join(self._follower.versions) or "nothing")
                await asyncio.sleep(RETRY_SECONDS)

    async def _predict(self, body: bytes) -> Reply:
        request = read_asks(body)
        if self._follower.serving is None:
            return json({"error": "no policy is loaded yet"}, 503, COME_AGAIN)
        predictions = await self._batch.ask(request)
        if log.isEnabledFor(logging.DEBUG):
            for prediction in predictions:
                log.debug("decided", extra=prediction)
        return json({"predictions": predictions})

    def _recommend(self, requests: list[Request]) -> Sequence[list[Answer] | Exception]:
        assert self._follower.serving
        return self._recommender.predict(self._follower.serving, requests)

    async def _reward(self, body: bytes) -> Reply:
        return self._take(read_rewards(body, self._reward_name))

    async def _activate(self, body: bytes) -> Reply:
        return self._take(read_activations(body))

    def _take(self, events: list[Event]) -> Reply:
        self._rewards.put(orjson.dumps(events))
        return json({"accepted": len(events)}, 202)

    async def _health(self, body: bytes) -> Reply:
        versions = {version: list(vitals) for version, vitals in self._follower.versions.items()}
        return json({"versions": versions}, 200 if versions else 503)

    async def _scrape(self, body: bytes) -> Reply:
        return Reply(self._metrics.text(), media=CONTENT_TYPE_LATEST.encode())

    async def _describe(self, body: bytes) -> Reply:
        dim = self._follower.serving and self._follower.serving.champion.policy.manifest.dim
        return json(openapi.document(*self._paths, dim))

    def _families(self) -> Iterable[Metric]:
        waiting = {"decisions": self._decisions.waiting(), "rewards": self._rewards.waiting()}
        return *version_families(self._follower.versions), outbox_family(waiting)


def serve(config: Config) -> None:
    """Serve until told to stop, at the address of Vertex AI's contract or, without it, of the config."""
    platform = connect(config)
    storage, contract = os.environ.get("AIP_STORAGE_URI"), "AIP_HTTP_PORT" in os.environ
    host = "0.0.0.0" if contract else config.backend.host  # in a container, whoever asks is outside
    port = int(os.environ.get("AIP_HTTP_PORT", config.backend.port))
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise InvalidInput(f"address {host}:{port}: {error.strerror}") from None
    decisions, rewards = (Outbox(outbox_folder(platform.scratch, topic)) for topic in ("decisions", "rewards"))
    follower = Follower(OnePolicy(fetched(storage, platform.scratch)) if storage else platform.endpoint)
    with contextlib.suppress(Exception):  # what is wrong is told when it is tried again
        follower.refresh()  # before others run here: TensorFlow, where a policy needs it, takes seconds to import
    predictor = Predictor(follower, decisions, rewards, config)
    routes = os.environ.get("AIP_PREDICT_ROUTE", PREDICT_ROUTE), os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE)
    with listener:
        if not contract:
            platform.endpoint.announce("http://{}:{}".format(*listener.getsockname()))
        run(predictor.app(Guard(token()), *routes), listener)


def run(app: App, listener: socket.socket) -> None:
    """Answer until told to stop, and then still what has come."""
    settings = uvicorn.Config(
        app,
        http=OneWrite,
        ws="none",
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    gc.freeze()  # collections need not go over all that was imported
    with threadpool_limits(1):  # matrices are small here: a second thread costs more than it brings
        uvicorn.Server(settings).run(sockets=[listener])


if __name__ == "__main__":
    service.run(serve)
