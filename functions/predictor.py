"""The predictor: the endpoint's web server, after the contract of Vertex AI's custom containers.

It serves the one policy of AIP_STORAGE_URI or, without it, the release of the config's endpoint.
The answer goes out once the decisions are on disk; they reach the bus from there.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rl_core.backends import HEALTH_ROUTE, PREDICT_ROUTE, REWARD_ROUTE, connect, service
from rl_core.backends.guard import Guard, token
from rl_core.backends.outbox import Outbox
from rl_core.backends.served import Follower, OnePolicy
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.predictions import predict
from rl_core.rewards import read_rewards

POLL_SECONDS = 0.1
RETRY_SECONDS = 2.0
log = logging.getLogger("banditloop.predictor")


def create_app(
    follower: Follower, decisions: Outbox, rewards: Outbox, reward_name: str, predict_route: str, health_route: str
) -> Starlette:
    """The ASGI app that answers predictions as `follower` says, and takes rewards; both are logged through outboxes."""
    random = np.random.default_rng()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watcher = asyncio.create_task(_follow(follower))
        yield
        watcher.cancel()
        for outbox in (decisions, rewards):
            await asyncio.to_thread(outbox.close)

    async def answer(request: Request) -> Response:
        body, serving = await request.body(), follower.serving
        if serving is None:
            return _json({"error": "no policy is loaded yet"}, 503)
        try:
            predictions, events = predict(body, serving.decide, serving.champion.policy.manifest.dim, random)
            decisions.put(events)
        except (InvalidInput, OSError) as error:
            return _refusal(error)
        return _json({"predictions": predictions})

    async def reward(request: Request) -> Response:
        try:
            events = read_rewards(await request.body(), reward_name)
            rewards.put(events)
        except (InvalidInput, OSError) as error:
            return _refusal(error)
        return _json({"accepted": len(events)}, 202)

    async def health(request: Request) -> Response:
        versions = {version: list(vitals) for version, vitals in follower.versions.items()}
        return _json({"versions": versions}, 200 if versions else 503)

    routes = [
        Route(predict_route, answer, methods=["POST"]),
        Route(REWARD_ROUTE, reward, methods=["POST"]),
        Route(health_route, health),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _follow(follower: Follower) -> None:
    """Keep up with the release, for ever."""
    while True:
        try:
            await asyncio.to_thread(follower.refresh)
            await asyncio.sleep(POLL_SECONDS)
        except Exception as error:  # whatever is wrong with a new version, the old ones go on
            log.error("%s; still serving %s", error, ", ".join(follower.versions) or "nothing")
            await asyncio.sleep(RETRY_SECONDS)


def _refusal(error: InvalidInput | OSError) -> Response:
    """400 for the caller's mistake; 503, to come again, where the disk takes nothing."""
    if isinstance(error, InvalidInput):
        return _json({"error": str(error)}, 400)
    log.error("events cannot be kept: %s", error)
    return _json({"error": "events cannot be kept at the moment"}, 503)


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def serve(config: Config) -> None:
    """Serve until told to stop, at the address of Vertex AI's contract or, without it, of the config."""
    platform = connect(config)
    storage, contract = os.environ.get("AIP_STORAGE_URI"), "AIP_HTTP_PORT" in os.environ
    host = "0.0.0.0" if contract else config.backend.host  # in a container, whoever asks is outside
    port = int(os.environ.get("AIP_HTTP_PORT", config.backend.port))
    health_route = os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE)
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise InvalidInput(f"address {host}:{port}: {error.strerror}") from None
    app = create_app(
        Follower(OnePolicy(Path(storage)) if storage else platform.endpoint),
        Outbox(platform.scratch / "outbox", platform.bus, "decisions"),
        Outbox(platform.scratch / "rewards", platform.bus, "rewards"),
        config.reward.name,
        os.environ.get("AIP_PREDICT_ROUTE", PREDICT_ROUTE),
        health_route,
    )
    guarded = Guard(app, token(), health_route)
    with listener:
        if not contract:
            platform.endpoint.announce("http://{}:{}".format(*listener.getsockname()))
        uvicorn.Server(uvicorn.Config(guarded, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    service.run(serve)
