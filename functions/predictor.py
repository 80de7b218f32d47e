"""The predictor: the endpoint's HTTP server, which follows the contract of Vertex AI's custom containers.

It serves the one policy at AIP_STORAGE_URI or, without that variable, the release of the config's endpoint.
A response is sent once its decisions are on disk; the outbox publisher takes them to the bus from there.
With `serving.workers` this process only keeps the workers and the publisher running.
"""

import contextlib
import errno
import os
import socket
import sys
import time

from banditloop.rl_core import process
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import HEALTH_ROUTE, PREDICT_ROUTE
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.http.admission import Admission
from banditloop.rl_core.serving.http.endpoint import Background, Predictor
from banditloop.rl_core.serving.http.server import run
from banditloop.rl_core.serving.http.web_guard import WebGuard
from banditloop.rl_core.serving.known_answers import KnownAnswers
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.outbox_publisher import TOPICS, keep_publishing, outbox_folder
from banditloop.rl_core.serving.release_follower import ReleaseFollower, SinglePolicySource
from banditloop.rl_core.serving.worker_counts import WorkerCounts
from banditloop.rl_core.serving.workers import run_workers
from banditloop.rl_core.settings.secrets import token

WORKER = "--worker"  # stands before a worker's arguments: its number, and the file descriptors of listener and counts
ORPHANS_SECONDS = 5.0  # in which the workers of a killed predictor release its port


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, at the address of Vertex AI's contract or, without it, of the config."""
    if WORKER in sys.argv:
        worker, listener_file, counts_file = map(int, sys.argv[sys.argv.index(WORKER) + 1 :])
        counts = WorkerCounts(worker, config.serving.workers, counts_file)
        return _answer(config, socket.socket(fileno=listener_file), counts, None)
    with _listener(config) as listener:
        if config.serving.workers == 1:
            return _answer(config, listener, WorkerCounts(), keep_publishing)
        command = sys.executable, "-m", "banditloop.functions.predictor", process.WITH_PARENT, WORKER
        return run_workers(command, listener, config.serving.workers)


def _listener(config: Config) -> socket.socket:
    """The socket that all workers accept connections from."""
    host = "0.0.0.0" if _on_vertex() else config.serving.host  # in a container, clients are outside
    port = int(os.environ.get("AIP_HTTP_PORT", config.serving.port))
    deadline = time.monotonic() + (ORPHANS_SECONDS if config.serving.workers > 1 else 0)
    while True:
        try:
            return socket.create_server((host, port), backlog=2048)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise InvalidInput(f"address {host}:{port}: {error.strerror}") from None
        time.sleep(0.1)


def _on_vertex() -> bool:
    return "AIP_HTTP_PORT" in os.environ


def _answer(config: Config, listener: socket.socket, counts: WorkerCounts, publish: Background | None) -> None:
    """Answer the requests that arrive at the listener."""
    platform, storage_uri = connect(config), os.environ.get("AIP_STORAGE_URI")
    decisions, rewards = (Outbox(outbox_folder(platform.scratch, topic)) for topic in TOPICS)
    source = SinglePolicySource(platform.fetch(storage_uri)) if storage_uri else platform.endpoint
    follower = ReleaseFollower(source, counts)
    with contextlib.suppress(Exception):  # the background task retries and logs the error
        follower.refresh()  # before other threads start: TensorFlow, if a policy needs it, takes seconds to import
    catalogue = Catalogue(config.task, platform.read_table)
    answers = KnownAnswers(platform.scratch / "answers.jsonl")
    predictor = Predictor(follower, catalogue, decisions, rewards, answers, config, counts, publish)
    # On Vertex AI the platform authenticates, and Host is its own.
    guard = None if _on_vertex() else WebGuard(config.serving.cors_origins, listener).check
    routes = os.environ.get("AIP_PREDICT_ROUTE", PREDICT_ROUTE), os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE)
    if not _on_vertex() and counts.worker == 0:
        platform.endpoint.register_server("http://{}:{}".format(*listener.getsockname()))
    run(predictor.app(Admission(token(), guard), *routes), listener, counts)


if __name__ == "__main__":
    process.run(serve)
