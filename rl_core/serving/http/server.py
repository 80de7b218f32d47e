"""uvicorn, set up for the endpoint."""

import functools
import gc
import logging
import socket

import uvicorn
from threadpoolctl import threadpool_limits

from banditloop.rl_core.serving.http.app import App
from banditloop.rl_core.serving.http.connections import connection_limits
from banditloop.rl_core.serving.http.protocol import SingleWriteProtocol

SHUTDOWN_SECONDS = 5


def run(app: App, listener: socket.socket) -> None:
    """Serve the endpoint's app until SIGTERM or SIGINT, then finish the requests in flight."""
    gc.freeze()  # garbage collections then skip everything that was imported
    with threadpool_limits(1):  # the matrices are small: a second thread would cost more than it saves
        server(app).run(sockets=[listener])


def server(app: App) -> uvicorn.Server:
    """A server of an app, with limits on what its connections may send and hold."""
    connections, backlog = connection_limits()
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of every request that is not HTTP
    settings = uvicorn.Config(
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
    return uvicorn.Server(settings)
