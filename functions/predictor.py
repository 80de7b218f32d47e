"""The predictor: the endpoint's HTTP server, which follows the contract of Vertex AI's custom containers.

It serves the one policy at AIP_STORAGE_URI or, without that variable, the release of the config's endpoint.
A response is sent once its decisions are on disk; the outbox publisher takes them to the bus from there.
"""

import contextlib
import os
import socket

from banditloop.rl_core import process
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import HEALTH_ROUTE, PREDICT_ROUTE
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.http.admission import Admission
from banditloop.rl_core.serving.http.endpoint import Predictor
from banditloop.rl_core.serving.http.server import run
from banditloop.rl_core.serving.http.web_guard import WebGuard
from banditloop.rl_core.serving.known_answers import KnownAnswers
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.outbox_publisher import outbox_folder
from banditloop.rl_core.serving.release_follower import ReleaseFollower, SinglePolicySource
from banditloop.rl_core.settings.secrets import token


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, at the address of Vertex AI's contract or, without it, of the config."""
    platform = connect(config)
    storage_uri, on_vertex = os.environ.get("AIP_STORAGE_URI"), "AIP_HTTP_PORT" in os.environ
    host = "0.0.0.0" if on_vertex else config.serving.host  # in a container, clients are outside
    port = int(os.environ.get("AIP_HTTP_PORT", config.serving.port))
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise InvalidInput(f"address {host}:{port}: {error.strerror}") from None
    decisions, rewards = (Outbox(outbox_folder(platform.scratch, topic)) for topic in ("decisions", "rewards"))
    follower = ReleaseFollower(SinglePolicySource(platform.fetch(storage_uri)) if storage_uri else platform.endpoint)
    with contextlib.suppress(Exception):  # the background task retries and logs the error
        follower.refresh()  # before other threads start: TensorFlow, if a policy needs it, takes seconds to import
    catalogue = Catalogue(config.task, platform.read_table)
    answers = KnownAnswers(platform.scratch / "answers.jsonl")
    predictor = Predictor(follower, catalogue, decisions, rewards, answers, config)
    # On Vertex AI the platform authenticates, and Host is its own.
    guard = None if on_vertex else WebGuard(config.serving.cors_origins, listener).check
    routes = os.environ.get("AIP_PREDICT_ROUTE", PREDICT_ROUTE), os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE)
    with listener:
        if not on_vertex:
            platform.endpoint.register_server("http://{}:{}".format(*listener.getsockname()))
        run(predictor.app(Admission(token(), guard), *routes), listener)


if __name__ == "__main__":
    process.run(serve)
