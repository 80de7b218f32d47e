"""The predictor: the endpoint's web server, after the contract of Vertex AI's custom containers.

It serves the one policy of AIP_STORAGE_URI or, without it, the versions and the traffic of the config's endpoint.
The answer goes out once the decisions are on disk; they reach the bus from there.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rl_core.backends import HEALTH_ROUTE, PREDICT_ROUTE, Endpoint, connect, service
from rl_core.backends.outbox import Outbox
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.policy import MANIFEST, SavedPolicy, check_observations, read_manifest

POLL_SECONDS = 0.1
RETRY_SECONDS = 2.0
log = logging.getLogger("banditloop.predictor")


class OnePolicy:
    """The folder of AIP_STORAGE_URI, where the platform itself splits the traffic between containers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def traffic(self) -> dict[str, int]:
        """All of it for the one version, once it is there."""
        return {read_manifest(self._folder).version: 100} if (self._folder / MANIFEST).exists() else {}

    def policy(self, version: str) -> Path:
        """The folder, whatever the version."""
        return self._folder


class Served:
    """The policies behind one address, and each one's share of the requests."""

    def __init__(self, endpoint: Endpoint | OnePolicy) -> None:
        self._endpoint = endpoint
        self._traffic: dict[str, int] = {}
        self._now: tuple[tuple[SavedPolicy, ...], np.ndarray] = (), np.empty(0)  # replaced whole: requests read it

    @property
    def versions(self) -> list[str]:
        """The versions that are loaded."""
        return [policy.manifest.version for policy in self._now[0]]

    def refresh(self) -> None:
        """Load what the traffic has come to name and drop what it no longer does; all at once, or nothing."""
        traffic = self._endpoint.traffic()
        if traffic == self._traffic:
            return
        known = dict(zip(self.versions, self._now[0], strict=True))
        policies = tuple(known.get(v) or SavedPolicy.load(self._endpoint.policy(v)) for v in traffic)
        self._now = policies, np.cumsum(list(traffic.values())) / 100
        self._traffic = traffic

    def choose(self, random: np.random.Generator) -> SavedPolicy:
        """The policy for one request, drawn by traffic."""
        policies, shares = self._now
        return policies[int(np.searchsorted(shares, random.random(), side="right"))]


def predict(body: bytes, policy: SavedPolicy, random: np.random.Generator) -> tuple[list[Any], list[bytes]]:
    """The predictions for a request's body, and the decisions to log."""
    instances = _instances(body)
    flat, groups = _flatten(instances)
    observations = check_observations(flat, policy.manifest.dim)
    decided = policy.decide(observations, random)
    now, version = datetime.now(UTC), policy.manifest.version
    entropy = os.urandom(16 * len(flat)).hex()
    event_ids = [entropy[32 * row : 32 * row + 32] for row in range(len(flat))]
    events = [
        orjson.dumps(
            {
                "event_id": event_ids[row],
                "timestamp": now,
                "policy_version": version,
                "observation": observations[row],
                "action": decided.actions[row],
                "propensity": decided.propensities[row],
                "probabilities": decided.probabilities[row],
                "mode": "online",
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        for row in range(len(flat))
    ]
    actions, propensities = decided.actions.tolist(), decided.propensities.tolist()
    return [_prediction(rows, event_ids, actions, propensities, version) for rows in groups], events


def _instances(body: bytes) -> list[Any]:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"request: not JSON ({error})") from None
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('request: instances is missing or empty; send {"instances": [[number, ...], ...]}')
    return instances


def _flatten(instances: list[Any]) -> tuple[list[Any], list[int | slice]]:
    """All observations as one batch, and which of its rows answer each instance.

    An instance is an observation, or {"observation": ...} with one or, as Google's sample sends them, a list of them.
    """
    flat: list[Any] = []
    groups: list[int | slice] = []
    for instance in instances:
        observation = instance.get("observation") if isinstance(instance, dict) else instance
        if isinstance(instance, dict) and isinstance(observation, list) and observation and _is_list(observation[0]):
            groups.append(slice(len(flat), len(flat) + len(observation)))
            flat.extend(observation)
        else:
            groups.append(len(flat))
            flat.append(observation)
    return flat, groups


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _prediction(rows: int | slice, event_ids: list, actions: list, propensities: list, version: str) -> dict[str, Any]:
    answer = {"event_id": event_ids[rows], "action": actions[rows], "propensity": propensities[rows]}
    if isinstance(rows, slice):
        answer["predicted_action"] = actions[rows]  # the name in Google's sample
    return answer | {"policy_version": version}


def create_app(served: Served, outbox: Outbox, predict_route: str, health_route: str) -> Starlette:
    """The ASGI app that answers predictions with `served` and logs decisions through `outbox`."""
    random = np.random.default_rng()

    async def watch() -> None:
        while True:
            try:
                await asyncio.to_thread(served.refresh)
                await asyncio.sleep(POLL_SECONDS)
            except Exception as error:  # whatever is wrong with a new version, the old ones go on
                log.error("%s; still serving %s", error, ", ".join(served.versions) or "nothing")
                await asyncio.sleep(RETRY_SECONDS)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watcher = asyncio.create_task(watch())
        yield
        watcher.cancel()
        await asyncio.to_thread(outbox.close)

    async def answer(request: Request) -> Response:
        if not served.versions:
            return _json({"error": "no policy is loaded yet"}, 503)
        try:
            predictions, events = predict(await request.body(), served.choose(random), random)
            outbox.put(events)
        except InvalidInput as error:
            return _json({"error": str(error)}, 400)
        except OSError as error:
            log.error("decisions cannot be kept: %s", error)
            return _json({"error": "decisions cannot be kept at the moment"}, 503)
        return _json({"predictions": predictions})

    async def health(request: Request) -> Response:
        return _json({"versions": served.versions}, 200 if served.versions else 503)

    routes = [Route(predict_route, answer, methods=["POST"]), Route(health_route, health)]
    return Starlette(routes=routes, lifespan=lifespan)


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def serve(config: Config) -> None:
    """Serve until told to stop, at the address of Vertex AI's contract or, without it, of the config."""
    platform = connect(config)
    storage, contract = os.environ.get("AIP_STORAGE_URI"), "AIP_HTTP_PORT" in os.environ
    host = "0.0.0.0" if contract else config.backend.host  # in a container, whoever asks is outside
    port = int(os.environ.get("AIP_HTTP_PORT", config.backend.port))
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise InvalidInput(f"address {host}:{port}: {error.strerror}") from None
    app = create_app(
        Served(OnePolicy(Path(storage)) if storage else platform.endpoint),
        Outbox(platform.scratch / "outbox", platform.bus, "decisions"),
        os.environ.get("AIP_PREDICT_ROUTE", PREDICT_ROUTE),
        os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE),
    )
    with listener:
        if not contract:
            platform.endpoint.announce("http://{}:{}".format(*listener.getsockname()))
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    service.run(serve)
