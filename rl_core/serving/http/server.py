"""uvicorn, set up for the endpoint."""

import gc
import socket

import uvicorn
from threadpoolctl import threadpool_limits

from banditloop.rl_core.serving.http.app import App
from banditloop.rl_core.serving.http.protocol import SingleWriteProtocol

SHUTDOWN_SECONDS = 5


def run(app: App, listener: socket.socket) -> None:
    """Serve the app until SIGTERM or SIGINT, then finish the requests in flight."""
    settings = uvicorn.Config(
        app,
        http=SingleWriteProtocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    gc.freeze()  # garbage collections then skip everything that was imported
    with threadpool_limits(1):  # the matrices are small: a second thread would cost more than it saves
        uvicorn.Server(settings).run(sockets=[listener])
