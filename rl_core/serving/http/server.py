"""uvicorn, set up for the endpoint."""

import asyncio
import functools
import gc
import logging
import socket

import uvicorn
from threadpoolctl import threadpool_limits

from banditloop.rl_core.serving.http.acceptor import Acceptor
from banditloop.rl_core.serving.http.app import App
from banditloop.rl_core.serving.http.connections import connection_limits
from banditloop.rl_core.serving.http.protocol import SingleWriteProtocol
from banditloop.rl_core.serving.worker_counts import WorkerCounts

SHUTDOWN_SECONDS = 5


def run(app: App, listener: socket.socket, counts: WorkerCounts) -> None:
    """Serve the endpoint's app until SIGTERM or SIGINT, then finish the requests in flight.

    Where `counts` are shared, so is the listener.
    """
    gc.freeze()  # garbage collections then skip everything that was imported
    with threadpool_limits(1):  # the matrices are small: a second thread would cost more than it saves
        kind = functools.partial(_WorkerServer, counts=counts) if counts.workers > 1 else uvicorn.Server
        kind(_settings(app)).run(sockets=[listener])


def server(app: App) -> uvicorn.Server:
    """A server of an app, with limits on what its connections may send and hold."""
    return uvicorn.Server(_settings(app))


def _settings(app: App) -> uvicorn.Config:
    connections, backlog = connection_limits()
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of every request that is not HTTP
    return uvicorn.Config(
        app,
        http=functools.partial(SingleWriteProtocol, max_connections=connections),  # type: ignore[arg-type]
        ws="none",
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        backlog=backlog,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


class _WorkerServer(uvicorn.Server):
    """A server whose listener belongs to several workers."""

    def __init__(self, config: uvicorn.Config, counts: WorkerCounts) -> None:
        super().__init__(config)
        self._counts = counts

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup([])
        connections = self.server_state.connections
        for listener in sockets or []:
            acceptor = Acceptor(listener, self._protocol, connections, self._counts)
            self.servers.append(acceptor)  # type: ignore[arg-type]

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
