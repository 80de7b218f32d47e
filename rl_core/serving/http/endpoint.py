"""The handlers of the endpoint's routes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric

from banditloop.rl_core.config import Config
from banditloop.rl_core.serving import openapi
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.http.admission import RETRY_AFTER, Admission
from banditloop.rl_core.serving.http.app import App, Response, Route, create_app, json_response
from banditloop.rl_core.serving.http.cors import with_cors
from banditloop.rl_core.serving.known_answers import KnownAnswers
from banditloop.rl_core.serving.metrics import RequestMetrics, outbox_family, version_families
from banditloop.rl_core.serving.microbatch import MicroBatch
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.predict_request import PredictRequest, read_predict_request
from banditloop.rl_core.serving.recommender import Answer, Recommender
from banditloop.rl_core.serving.release_follower import ReleaseFollower
from banditloop.rl_core.serving.reward_request import Event, read_activations, read_rewards
from banditloop.rl_core.serving.worker_counts import WorkerCounts

REWARD_ROUTE, ACTIVATE_ROUTE, METRICS_ROUTE, OPENAPI_ROUTE = "/reward", "/activate", "/metrics", "/openapi.json"
RETRY_SECONDS, BEAT_SECONDS = 2.0, 1.0
BATCH_OBSERVATIONS = 256
Background = Callable[[], Coroutine[Any, Any, None]]  # a task that runs while requests are served
log = logging.getLogger("banditloop.predictor")


class Predictor:
    """The handlers of the endpoint's routes. `follower` holds the policies; decisions and rewards go to outboxes.

    publish: a task that publishes the outboxes; None where another process does.
    """

    def __init__(
        self,
        follower: ReleaseFollower,
        catalogue: Catalogue,
        decisions: Outbox,
        rewards: Outbox,
        answers: KnownAnswers,
        config: Config,
        counts: WorkerCounts,
        publish: Background | None,
    ) -> None:
        self._counts, self._publish = counts, publish
        self._follower, self._catalogue, self._config = follower, catalogue, config
        self._decisions, self._rewards = decisions, rewards
        self._recommender = Recommender(config.task, catalogue, decisions.put, config.logging.sample_rate, answers)
        self._batch = MicroBatch(self._recommend, lambda request: request.size, BATCH_OBSERVATIONS)
        self._metrics = RequestMetrics(self._metric_families, counts)

    def app(self, admission: Admission, predict_route: str, health_route: str) -> App:
        """The ASGI app with all routes."""
        routes = {
            predict_route: Route(self._predict),
            REWARD_ROUTE: Route(self._reward),
            ACTIVATE_ROUTE: Route(self._activate),
            health_route: Route(self._health, "GET", public=True),
            METRICS_ROUTE: Route(self._scrape, "GET"),
            OPENAPI_ROUTE: Route(self._openapi, "GET"),
        }
        self._described_routes = predict_route, REWARD_ROUTE, ACTIVATE_ROUTE
        app = create_app(routes, admission, self._metrics.observe, self._lifespan)
        return with_cors(app, self._config.serving.cors_origins)

    @contextlib.asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        """Run the background tasks while requests are served, then wait until the outboxes are published."""
        background = [self._beat, self._follow, *([self._publish] if self._publish else [])]
        tasks = [asyncio.create_task(task()) for task in background]
        yield
        self._decisions.close()
        self._rewards.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _beat(self) -> None:
        """Note until cancelled that the event loop is not blocked."""
        while True:
            self._follower.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _follow(self) -> None:
        """Follow the release and the table of actions until cancelled."""
        while True:
            succeeded = [await self._succeeds(self._follower.refresh)]
            self._follower.beat()
            if self._counts.worker == 0:
                succeeded.append(await self._succeeds(self._follower.report))
            succeeded.append(await self._succeeds(self._catalogue.refresh))
            await asyncio.sleep(self._config.backend.FOLLOW_SECONDS if all(succeeded) else RETRY_SECONDS)

    async def _succeeds(self, step: Callable[[], None]) -> bool:
        """Run a step in a thread; whether it succeeded. If a new version is broken, the loaded ones keep serving."""
        try:
            await asyncio.to_thread(step)
        except Exception as error:
            log.error("%s; still serving %s", error, ", ".join(self._follower.versions) or "nothing")
            return False
        return True

    async def _predict(self, body: bytes) -> Response:
        request = read_predict_request(body)
        if self._follower.split is None:
            return json_response({"error": "no policy is loaded yet"}, 503, RETRY_AFTER)
        predictions = await self._batch.submit(request)
        if log.isEnabledFor(logging.DEBUG):
            for prediction in predictions:
                log.debug("decided", extra=prediction)
        return json_response({"predictions": predictions})

    def _recommend(self, requests: list[PredictRequest]) -> Sequence[list[Answer] | Exception]:
        assert self._follower.split
        return self._recommender.predict(self._follower.split, requests)

    async def _reward(self, body: bytes) -> Response:
        in_range = self._config.judged_reward is not None
        return self._accept(read_rewards(body, self._config.task, self._config.reward, in_range))

    async def _activate(self, body: bytes) -> Response:
        return self._accept(read_activations(body))

    def _accept(self, events: list[Event]) -> Response:
        self._rewards.put(orjson.dumps(events))
        return json_response({"accepted": len(events)}, 202)

    async def _health(self, body: bytes) -> Response:
        self._follower.beat()
        versions = {version: list(vitals) for version, vitals in self._follower.versions.items()}
        return json_response({"versions": versions}, 200 if versions and self._follower.is_ready else 503)

    async def _scrape(self, body: bytes) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST.encode())

    async def _openapi(self, body: bytes) -> Response:
        return json_response(openapi.document(*self._described_routes, self._config.task))

    def _metric_families(self) -> Iterable[Metric]:
        pending = {"decisions": self._decisions.pending_bytes(), "rewards": self._rewards.pending_bytes()}
        return *version_families(self._follower.versions), outbox_family(pending)
