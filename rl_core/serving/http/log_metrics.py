"""The logger's Prometheus metrics over HTTP, with the token and the limits of the endpoint."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.serving.http.admission import Admission
from banditloop.rl_core.serving.http.app import Response, Route, create_app
from banditloop.rl_core.serving.http.endpoint import METRICS_ROUTE
from banditloop.rl_core.serving.http.server import server
from banditloop.rl_core.serving.http.web_guard import WebGuard
from banditloop.rl_core.serving.metrics import MetricsCollector, log_family
from banditloop.rl_core.settings.secrets import token


def serve_log_metrics(platform: Platform, config: Config) -> None:
    """Serve the log's counts to Prometheus from a thread. They are queried at every scrape, one after another."""
    address = config.serving.host, config.logging.metrics_port
    try:
        listener = socket.create_server(address)
    except OSError as error:
        raise InvalidInput(f"logging.metrics_port = {address[1]}: {error.strerror}") from None
    registry, scraping = CollectorRegistry(), asyncio.Lock()

    def families() -> Iterable[Metric]:
        return [log_family(platform)]

    async def scrape(body: bytes) -> Response:
        async with scraping:
            text = await asyncio.to_thread(generate_latest, registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST.encode())

    registry.register(MetricsCollector(families))
    admission = Admission(token(), WebGuard(config.serving.cors_origins, listener).check)
    app = create_app({METRICS_ROUTE: Route(scrape, "GET")}, admission, lambda *request: None, _nothing)
    threading.Thread(target=server(app).run, args=([listener],), daemon=True).start()


@contextlib.asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield
