"""The whole loop on emulators, predictors and logger in containers: as on one machine, and it learns the same."""

import contextlib
import os

import numpy as np
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1

from pipelines import loop
from pipelines.compiling import compile_pipelines
from rl_core.agents import STATISTICS, read_arrays
from rl_core.backends import connect
from rl_core.backends.google.clients import EMULATORS, READ_API
from rl_core.config import Config
from rl_core.manifest import RANDOM
from tests.conftest import make_config
from tests.containers import image, start
from tests.ports.conftest import google, vertex
from tests.processes import free_port, listening, wait_until

ROUNDS, USERS, INTERACTIONS, SEED = 1, 100, 3000, 3
SECTIONS = {
    "release": {"canary": 20, "look": 40},
    "trigger": {"min_interactions": USERS},
    "gate": {"held_out": 0.2},
    "reward": {"window_seconds": 60.0},
}


TRAINING = {"trainer_machine": "n1-standard-4", "trainer_replicas": 2, "trainer_spot": True}
pytestmark = pytest.mark.timeout(2400)  # it may build the image


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Of a loop whose predictors run in containers, and whose policies are trained by custom jobs."""
    image()
    values = google(tmp_path, **SECTIONS).to_dict()
    monkeypatch.setattr(vertex(), "start", contained)
    return Config.parse(values | {"backend": values["backend"] | TRAINING})


def contained(command, variables):
    """A container among the emulators."""
    return start(command, variables | {name: os.environ[name] for name in (*EMULATORS, READ_API) if name in os.environ})


@contextlib.contextmanager
def pushed_logger(config):
    """The logger as a cloud function, to which Pub/Sub pushes."""
    port, backend = free_port(), config.backend
    command = ["functions-framework", "--target=logger", "--source=functions/logger.py"]
    variables = {"BANDITLOOP_CONFIG": config.model_dump_json(exclude_none=True)}
    publisher = pubsub_v1.PublisherClient(credentials=AnonymousCredentials())
    subscriber = pubsub_v1.SubscriberClient(credentials=AnonymousCredentials())
    for topic in ("decisions", "rewards"):
        name = f"projects/{backend.project}/topics/{backend.endpoint}-{topic}"
        publisher.create_topic(name=name)
        push = {"push_endpoint": f"http://127.0.0.1:{port}/{name}"}
        request = {"name": name.replace("topics", "subscriptions"), "topic": name, "push_config": push}
        subscriber.create_subscription(request=request | {"ack_deadline_seconds": 60})
    options = ["--signature-type=cloudevent", f"--port={port}", "--host=127.0.0.1"]
    with contained([*command, *options], variables) as function:
        try:
            wait_until(lambda: listening(port))
            yield
        finally:
            function.terminate()


def test_the_loop_runs_on_google_cloud_and_learns_as_on_one_machine(config, tmp_path):
    platform, quiet = connect(config), lambda what, share: None
    with pushed_logger(config):
        loop.start(config, platform, INTERACTIONS, SEED, quiet)
        first = platform.endpoint.versions()[-1]
        for number in range(ROUNDS):
            loop.visit(config, platform, USERS, SEED + number, quiet)
            assert loop.retrain(config, platform, quiet) is None
    release, versions = platform.endpoint.release(), platform.endpoint.versions()
    assert release.champion != RANDOM
    assert [version.generation for version in versions] == list(range(ROUNDS + 2))
    assert set(platform.endpoint.serving()) == set(release.traffic())
    counts = platform.warehouse.counts()
    kept = {name: counts.received[name] - counts.duplicate[name] for name in counts.received}
    assert kept == dict.fromkeys(("decisions", "rewards"), INTERACTIONS + ROUNDS * USERS)
    assert counts.late == counts.dangling == 0
    assert platform.bus.dead_letters("decisions") == platform.bus.dead_letters("rewards") == []
    assert [run.run_id for run in platform.runner.runs()] == [
        "startup-1",
        *(f"retraining-{v.version}-1" for v in versions[1:-1]),
    ]
    same_as_on_one_machine(platform.endpoint.policy(first.version), tmp_path)


def same_as_on_one_machine(policy, folder) -> None:
    """The first policy is of the same simulated interactions there."""
    config = make_config(folder, **SECTIONS)
    local = connect(config)
    template, _ = compile_pipelines(folder / "pipelines")
    parameters = {"config": config.to_dict(), "interactions": INTERACTIONS, "seed": SEED}
    local.runner.submit(template, parameters, "startup-1")
    wait_until(lambda: local.runner.state("startup-1") != "running", 120)
    theirs = read_arrays(local.endpoint.policy(local.endpoint.versions()[-1].version) / STATISTICS)
    for name, sums in read_arrays(policy / STATISTICS).items():
        np.testing.assert_allclose(sums, theirs[name], rtol=1e-9, atol=1e-9)
