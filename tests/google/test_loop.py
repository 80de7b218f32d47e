"""The whole loop on emulators, brought up by `banditloop cloud up`: its functions run, and its containers serve."""

import contextlib
import json

import numpy as np
import pytest
from google.cloud import pubsub_v1

from banditloop.pipelines.cli import loop_steps
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.agents import STATISTICS, read_arrays
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import ADMIN_API, credentials
from banditloop.rl_core.backends.google.provisioning.pubsub import Topic
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.schema import RANDOM
from tests.conftest import make_config
from tests.ports import conftest as ports
from tests.support.containers import RATINGS, image, start
from tests.support.deployed_functions import DeployedFunctions
from tests.support.processes import wait_until
from tests.support.ratings import write_ratings
from tests.support.ticks import ticking

INTERACTIONS, VISITS, USERS, SEED = 300, 6, 50, 3
SECTIONS = {
    "release": {"canary_percent": 50, "check_every_interactions": 40},
    "retraining": {"min_new_interactions": VISITS * USERS},
    "gate": {"holdout_fraction": 0.05},
    "reward": {"attribution_window_seconds": 20.0},
    "bus": {"lease_seconds": 5.0},
    "environment": {"movies": 5, "ratings": str(RATINGS)},  # five: a better policy is found soon
}
BUILT = {"functions": "cloud-functions", "split": "container", "min_replicas": 2}
OF_THE_IMAGE = {"functions": "cloud-run", "split": "vertex"}
TRAINING = {"machine_type": "n1-standard-4", "replicas": 2, "spot": True}
pytestmark = pytest.mark.timeout(2400)  # it may build the image


@pytest.fixture
def bring_up(cloud, tmp_path, monkeypatch):
    """A function that brings up a loop in which all that is deployed runs, and returns its config."""
    image()
    write_ratings(RATINGS)
    emulators = ports._emulators()

    def start_with_emulators(command, variables):
        return start(command, emulators | variables)

    monkeypatch.setattr(ports.vertex(), "start", start_with_emulators)
    stack = contextlib.ExitStack()

    def up(backend: dict, **sections) -> Config:
        # The logger is ticked every second: nothing waits for its next run in minutes.
        sections = SECTIONS | sections | {"backend": cloud.values["backend"] | {"logger_minutes": 0} | backend}
        del cloud.values["task"]  # that of the environment
        cloud.values |= {name: cloud.values.get(name, {}) | section for name, section in sections.items()}
        cloud.path.write_text(json.dumps(cloud.values))
        functions = DeployedFunctions(cloud.project, tmp_path / "functions", emulators, start_with_emulators)
        stack.callback(functions.close)
        cloud.run("up", "--simulator")
        functions.wait()
        monkeypatch.delenv(ADMIN_API)
        for name, value in emulators.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("banditloop.rl_core.backends.retries.RETRY_SECONDS", 60.0)
        return Config.parse(cloud.values)

    with stack:
        yield up


def run_loop(config: Config) -> None:
    """Run the loop from the first version, which begins as a canary, to the retraining after its promotion."""
    platform, backend = connect(config), config.backend
    loop_steps.run_startup(config, platform, INTERACTIONS, SEED, lambda *shown: None)
    release, first = platform.endpoint.release(), platform.endpoint.versions()[-1].version
    assert (release.champion, release.challenger) == (RANDOM, first)
    ticks, publisher = Topic(backend, "ticks").name, pubsub_v1.PublisherClient(credentials=credentials())
    with ticking(Topic(backend, "log-ticks").name, 2.0):
        for number in range(VISITS):
            publisher.publish(ticks, json.dumps({"users": USERS, "seed": number}).encode()).result()
        with ticking(ticks, 10.0, b'{"users": 1}') as published:
            wait_until(lambda: platform.endpoint.release().champion == first, 600)
            wait_until(lambda: len(platform.runner.runs()) == 2, 600)
        wait_until(lambda: platform.runner.runs()[-1].state != "running", 600)
        expected = INTERACTIONS + VISITS * USERS + len(published)
        wait_until(lambda: set(unique(platform).values()) == {expected}, 600)
    assert [run[:2] for run in platform.runner.runs()] == [
        ("startup-1", "succeeded"),
        (f"retraining-{first}-1", "succeeded"),
    ]
    assert [version.generation for version in platform.endpoint.versions()] == [0, 1, 2]
    assert [v.by for v in platform.endpoint.verdicts() if (v.version, v.decision) == (first, "promote")] == ["monitor"]
    counts = platform.warehouse.event_counts()
    assert counts.late == counts.dangling == 0
    assert platform.bus.dead_letters("decisions") == platform.bus.dead_letters("rewards") == []


def unique(platform) -> dict[str, int]:
    counts = platform.warehouse.event_counts()
    return {topic: counts.received[topic] - counts.duplicate[topic] for topic in counts.received}


def test_functions_from_source_and_two_replicas_that_follow_the_release(bring_up):
    deployments = ports.vertex().deployments
    config = bring_up(BUILT, training={"shards": 2})
    run_loop(config)
    assert ports.vertex().deployments == deployments + 1  # a promotion deploys nothing
    [served] = ports.vertex().serving.values()
    assert len(served) == 2


def test_services_of_the_image_and_a_deployment_of_each_version(bring_up, tmp_path):
    config = bring_up(OF_THE_IMAGE, training=TRAINING)
    run_loop(config)
    endpoint = connect(config).endpoint
    assert set(endpoint.serving_versions()) == set(endpoint.release().traffic())
    assert_same_on_one_machine(endpoint.policy(endpoint.versions()[1].version), tmp_path)


def assert_same_on_one_machine(policy, folder) -> None:
    """The first policy has the statistics of a local run with the same simulated interactions."""
    config = make_config(folder, **SECTIONS)
    local = connect(config)
    template, _ = compile_pipelines(folder / "pipelines")
    parameters = {"config": config.to_dict(), "interactions": INTERACTIONS, "seed": SEED}
    local.runner.submit(template, parameters, "startup-1")
    wait_until(lambda: local.runner.state("startup-1") != "running", 120)
    local_statistics = read_arrays(local.endpoint.policy(local.endpoint.versions()[-1].version) / STATISTICS)
    for name, sums in read_arrays(policy / STATISTICS).items():
        np.testing.assert_allclose(sums, local_statistics[name], rtol=1e-9, atol=1e-9)
