"""The whole loop on emulators, with predictors and logger in containers: it learns the same as on one machine."""

import os

import numpy as np
import pytest

from banditloop.pipelines.cli import loop_steps
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.agents import STATISTICS, read_arrays
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import EMULATORS, READ_API
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.schema import RANDOM
from tests.conftest import make_config
from tests.ports.conftest import google, vertex
from tests.support.containers import RATINGS, image, start
from tests.support.logger_function import logger_function
from tests.support.processes import wait_until
from tests.support.ratings import write_ratings

ROUNDS, USERS, INTERACTIONS, SEED = 1, 100, 3000, 3
SECTIONS = {
    "release": {"canary_percent": 20, "check_every_interactions": 40},
    "retraining": {"min_new_interactions": USERS},
    "gate": {"holdout_fraction": 0.2},
    "reward": {"attribution_window_seconds": 60.0},
    "environment": {"ratings": str(RATINGS)},
}
TRAINING = {"machine_type": "n1-standard-4", "replicas": 2, "spot": True}
pytestmark = pytest.mark.timeout(2400)  # it may build the image


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config of a loop with predictors in containers and training in custom jobs."""
    image()
    write_ratings(RATINGS)
    values = google(tmp_path, **SECTIONS, training=TRAINING).to_dict()
    monkeypatch.setattr(vertex(), "start", start_with_emulators)
    return Config.parse(values)


def start_with_emulators(command, variables):
    """Start a container that uses the emulators."""
    return start(command, variables | {name: os.environ[name] for name in (*EMULATORS, READ_API) if name in os.environ})


def test_the_loop_on_google_cloud_learns_the_same_as_on_one_machine(config, tmp_path):
    platform, report = connect(config), lambda message, fraction: None
    with logger_function(config, seconds=1.0, start=start_with_emulators):
        loop_steps.run_startup(config, platform, INTERACTIONS, SEED, report)
        first = platform.endpoint.versions()[-1]
        for number in range(ROUNDS):
            loop_steps.visit(config, platform, USERS, SEED + number, report)
            assert loop_steps.retrain(config, platform, report) is None
    release, versions = platform.endpoint.release(), platform.endpoint.versions()
    assert release.champion != RANDOM
    assert [version.generation for version in versions] == list(range(ROUNDS + 2))
    assert set(platform.endpoint.serving_versions()) == set(release.traffic())
    counts = platform.warehouse.event_counts()
    unique = {name: counts.received[name] - counts.duplicate[name] for name in counts.received}
    assert unique == dict.fromkeys(("decisions", "rewards"), INTERACTIONS + ROUNDS * USERS)
    assert counts.late == counts.dangling == 0
    assert platform.bus.dead_letters("decisions") == platform.bus.dead_letters("rewards") == []
    assert [run.run_id for run in platform.runner.runs()] == [
        "startup-1",
        *(f"retraining-{v.version}-1" for v in versions[1:-1]),
    ]
    assert_same_on_one_machine(platform.endpoint.policy(first.version), tmp_path)


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
