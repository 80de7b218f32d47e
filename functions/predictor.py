"""The predictor: the endpoint's web server, after the contract of Vertex AI's custom containers.

AIP_STORAGE_URI is the folder of one policy, or of a local endpoint with its versions and traffic, which is watched.
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

from rl_core.backends import connect
from rl_core.backends.local.endpoint import HEALTH_ROUTE, PREDICT_ROUTE, LocalEndpoint
from rl_core.backends.outbox import Outbox
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.policy import MANIFEST, SavedPolicy, check_observations

POLL_SECONDS = 0.1
log = logging.getLogger("banditloop.predictor")


class Served:
    """The policies behind one address, and each one's share of the requests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._traffic: dict[str, int] = {}
        self.policies: dict[str, SavedPolicy] = {}
        self.shares = np.empty(0)

    def refresh(self) -> None:
        """Load what the traffic has come to name and drop what it no longer does; all at once, or nothing."""
        if (self._folder / MANIFEST).exists():
            if not self.policies:
                policy = SavedPolicy.load(self._folder)
                self._replace({policy.manifest.version: policy}, {policy.manifest.version: 100})
            return
        endpoint = LocalEndpoint(self._folder)
        traffic = endpoint.traffic()
        if traffic != self._traffic:
            known = self.policies
            self._replace({v: known.get(v) or SavedPolicy.load(endpoint.policy(v)) for v in traffic}, traffic)

    def choose(self, random: np.random.Generator) -> SavedPolicy:
        """The policy for one request, drawn by traffic."""
        policies, shares = self.policies, self.shares
        return list(policies.values())[int(np.searchsorted(shares, random.random(), side="right"))]

    def _replace(self, policies: dict[str, SavedPolicy], traffic: dict[str, int]) -> None:
        self.shares = np.cumsum([traffic[version] for version in policies]) / 100
        self.policies, self._traffic = policies, traffic


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
            except InvalidInput as error:
                log.error("%s; still serving %s", error, ", ".join(served.policies) or "nothing")
            await asyncio.sleep(POLL_SECONDS)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watcher = asyncio.create_task(watch())
        yield
        watcher.cancel()
        await asyncio.to_thread(outbox.close)

    async def answer(request: Request) -> Response:
        if not served.policies:
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
        versions = list(served.policies)
        return _json({"versions": versions}, 200 if versions else 503)

    routes = [Route(predict_route, answer, methods=["POST"]), Route(health_route, health)]
    return Starlette(routes=routes, lifespan=lifespan)


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def serve(config: Config) -> None:
    """Serve until told to stop, at the address of Vertex AI's contract or, without it, of the config."""
    platform = connect(config)
    endpoint = LocalEndpoint(Path(config.backend.root).absolute() / "endpoints" / config.backend.endpoint)
    folder = Path(os.environ.get("AIP_STORAGE_URI", endpoint.folder))
    port = int(os.environ.get("AIP_HTTP_PORT", config.backend.port))
    app = create_app(
        Served(folder),
        Outbox(endpoint.folder / "outbox", platform.bus, "decisions"),
        os.environ.get("AIP_PREDICT_ROUTE", PREDICT_ROUTE),
        os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE),
    )
    with socket.create_server((config.backend.host, port)) as listener:
        endpoint.announce("http://{}:{}".format(*listener.getsockname()))
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    serve(Config.from_environment())
