"""kill -9 of every process of the loop: it goes on, nothing is lost and nothing is doubled."""

import contextlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from functions.simulator import Visit, simulate
from pipelines import loop
from pipelines.compiling import compile_pipelines
from pipelines.services import services
from rl_core.backends import connect, newest
from rl_core.backends.local.warehouse import _interruptible
from rl_core.schema import INTERACTION
from rl_core.split import held_out
from tests.conftest import deploy, make_config, make_policy
from tests.processes import process, served, wait_until


def quiet(what: str, done: float) -> None:
    pass


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path, reward={"window_seconds": 20.0}, trigger={"min_interactions": 100})


def test_the_loop_goes_on_when_its_processes_are_killed(config):
    platform, answered = connect(config), []
    real = platform.endpoint.predict

    def remember(instances):
        predictions = real(instances)
        answered.extend(prediction["event_id"] for prediction in predictions)
        return predictions

    object.__setattr__(platform.endpoint, "predict", remember)
    with services(config) as processes:
        loop.start(config, platform, 200, seed=0, report=quiet)
        first = newest(platform.endpoint)
        for victim in ("functions.predictor", "functions.logger") * 3:
            with ThreadPoolExecutor(1) as pool:
                traffic = pool.submit(lambda: [simulate(config, platform, Visit(users=10)) for _ in range(10)])
                time.sleep(0.1)
                processes[victim].send_signal(signal.SIGKILL)
                traffic.result()  # and no user saw a failure
        wait_until(lambda: sum(row["rewarded"] for row in platform.warehouse.totals()) == 200 + len(answered))

        killer = threading.Thread(target=kill_the_first_retraining, args=(platform,))
        killer.start()
        assert loop.retrain(config, platform, quiet) is None
        killer.join()
    states = {run.run_id: run.state for run in platform.runner.runs()}
    assert states[f"retraining-{first.version}-1"] == "failed"
    assert platform.runner.explain(f"retraining-{first.version}-1").startswith("its process was killed during: ")
    assert states[f"retraining-{first.version}-2"] == "succeeded"
    second = newest(platform.endpoint)
    assert second.parent == first.version

    assert len(answered) == len(set(answered)) == 600
    window = platform.warehouse.window(None)
    table = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION)
    ids = table["event_id"].to_pylist()
    assert len(ids) == len(set(ids))  # nothing doubled
    assert set(answered) <= set(ids)  # nothing lost
    kept = [event_id for event_id in ids if held_out(event_id, config.gate.held_out)]
    assert second.interactions == len(ids) - len(kept)  # everything else learned from, once
    answers_lost = set(ids) - set(answered) - {event_id for event_id in ids if event_id.startswith("simulated-")}
    assert not answers_lost  # whoever got no answer asked again, and got the same decisions


def kill_the_first_retraining(platform) -> None:
    wait_until(lambda: any(run.run_id.startswith("retraining-") for run in platform.runner.runs()))
    run_id = next(run.run_id for run in platform.runner.runs() if run.run_id.startswith("retraining-"))
    wait_until(lambda: platform.runner.explain(run_id) == "trainer")
    kill_run(run_id)


def kill_run(run_id: str) -> None:
    """kill -9 the process of a run."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_text().strip("\0").split("\0")
            if "rl_core.backends.local.run" in words and words[-1].endswith(run_id):
                os.kill(int(path.parent.name), signal.SIGKILL)
                return
    raise AssertionError(f"{run_id} has no process")


def test_a_startup_that_was_killed_is_done_over(config):
    platform = connect(config)
    killed = threading.Event()

    def kill(what, done):
        if not killed.is_set() and "trainer" in what:
            kill_run("startup-1")
            killed.set()

    with services(config):
        loop.start(config, platform, 100, seed=0, report=kill)
    assert {run.run_id: run.state for run in platform.runner.runs()} == {
        "startup-1": "failed",
        "startup-2": "succeeded",
    }
    assert newest(platform.endpoint).interactions == pytest.approx(90, abs=10)


def test_an_interrupt_during_a_query_is_not_taken_for_a_failure():
    with duckdb.connect(config={"threads": 1}) as connection:  # DuckDB asks for signals only where it works itself
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(KeyboardInterrupt), _interruptible():
            connection.sql("SELECT sum(a.range * b.range) FROM range(900000) a, range(900000) b").fetchall()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_publisher_that_dies_is_followed_by_another(tmp_path):
    with served(tmp_path) as platform:
        for _ in range(2):
            wait_until(lambda: publishers(tmp_path))
            [publisher] = publishers(tmp_path)
            os.kill(int(publisher), signal.SIGKILL)
            wait_until(lambda dead=publisher: publishers(tmp_path) not in ([], [dead]))
            platform.endpoint.predict([[0.0] * 20])
            wait_until(lambda: platform.bus.deliver("decisions", lambda payloads: None))


def publishers(root: Path) -> list[str]:
    return mentioning(str(root), "backends.publisher")


def test_nothing_outlives_a_run_or_a_loop_that_was_killed(config, tmp_path):
    """kill -9 of a run ends its task, and of the process around predictor and logger ends both."""
    platform = connect(config)
    make_policy(tmp_path / "policy", dim=config.environment.dim)
    deploy(platform.endpoint, tmp_path / "policy")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with process(config, "-m", "pipelines", "serve", "-c", str(tmp_path / "config.json")) as serving:
        wait_until(platform.endpoint.serving)
        assert len(mentioning(config.backend.root, "functions.")) == 2
        serving.send_signal(signal.SIGKILL)
        wait_until(lambda: not mentioning(config.backend.root, "functions."))
    template, _ = compile_pipelines(tmp_path / "pipelines")
    platform.runner.submit(template, {"config": config.to_dict()}, "startup-1")
    wait_until(lambda: mentioning(config.backend.root, "executor_main"))
    kill_run("startup-1")
    wait_until(lambda: not mentioning(config.backend.root, "executor_main"), 5)
    assert platform.runner.state("startup-1") == "failed"


def mentioning(root: str, part: str) -> list[str]:
    """The processes whose command line has `part` and which have something to do with `root`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (path / "cmdline").read_text()
            if part in command and root in command + (path / "environ").read_text():
                found.append(path.name)
    return found
