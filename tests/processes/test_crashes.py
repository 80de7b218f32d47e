"""The loop survives kill -9 of each of its processes: no event is lost or duplicated."""

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

from banditloop.functions.simulator import Visit, simulate
from banditloop.pipelines.cli import loop_steps
from banditloop.pipelines.cli.supervisor import services
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.local.query_errors import explained
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.promotion.current import latest_released
from tests.conftest import deploy, make_config, make_policy
from tests.support.processes import process, served, wait_until


def quiet(*shown) -> None:
    pass


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path, reward={"attribution_window_seconds": 20.0}, retraining={"min_new_interactions": 100})


@pytest.mark.slow
def test_the_loop_survives_killed_processes(config):
    platform, answered_ids = connect(config), []
    predict = platform.endpoint.predict

    def recording_predict(instances):
        decisions = predict(instances)
        answered_ids.extend(decision.event_id for decision in decisions)
        return decisions

    object.__setattr__(platform.endpoint, "predict", recording_predict)
    with services(config) as processes:
        loop_steps.run_startup(config, platform, 200, seed=0, report=quiet)
        first, _ = latest_released(platform.endpoint)
        for name in ("banditloop.functions.predictor", "banditloop.functions.logger") * 3:
            with ThreadPoolExecutor(1) as pool:
                traffic = pool.submit(lambda: [simulate(config, platform, Visit(users=10)) for _ in range(10)])
                time.sleep(0.1)
                processes[name].send_signal(signal.SIGKILL)
                traffic.result()  # raises if a user saw a failure
        wait_until(
            lambda: sum(row["rewarded"] for row in platform.warehouse.policy_totals()) == 200 + len(answered_ids)
        )

        killer = threading.Thread(target=kill_the_first_retraining, args=(platform,))
        killer.start()
        assert loop_steps.retrain(config, platform, quiet) is None
        killer.join()
    states = {run.run_id: run.state for run in platform.runner.runs()}
    assert states[f"retraining-{first.version}-1"] == "failed"
    assert platform.runner.explain(f"retraining-{first.version}-1").startswith("its process was killed during: ")
    assert states[f"retraining-{first.version}-2"] == "succeeded"
    second, _ = latest_released(platform.endpoint)
    assert second.parent == first.version

    assert len(answered_ids) == len(set(answered_ids)) == 600
    window = platform.warehouse.window(None)
    table = pa.Table.from_batches(platform.warehouse.interactions(window), interaction_schema(config.task))
    ids = table["event_id"].to_pylist()
    assert len(ids) == len(set(ids))  # no duplicates
    assert set(answered_ids) <= set(ids)  # nothing lost
    held_out = [event_id for event_id in ids if is_held_out(event_id, config.gate.holdout_fraction)]
    assert second.interactions == len(ids) - len(held_out)  # all others are learned from once
    unanswered = set(ids) - set(answered_ids) - {event_id for event_id in ids if event_id.startswith("simulated-")}
    assert not unanswered  # requests without an answer were retried and got the same decisions


def kill_the_first_retraining(platform) -> None:
    wait_until(lambda: any(run.run_id.startswith("retraining-") for run in platform.runner.runs()))
    run_id = next(run.run_id for run in platform.runner.runs() if run.run_id.startswith("retraining-"))
    wait_until(lambda: platform.runner.explain(run_id) == "trainer")
    kill_run(platform, run_id)


def kill_run(platform, run_id: str) -> None:
    """kill -9 the process of a run."""
    folder = str(platform.runner.root / run_id)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            arguments = path.read_text().strip("\0").split("\0")
            if "banditloop.rl_core.backends.local.run_process" in arguments and arguments[-1] == folder:
                os.kill(int(path.parent.name), signal.SIGKILL)
                return
    raise AssertionError(f"{run_id} has no process")


@pytest.mark.slow
def test_a_killed_startup_is_repeated(config):
    platform = connect(config)
    killed = threading.Event()

    def kill(what, *shown):
        if not killed.is_set() and "trainer" in what:
            kill_run(platform, "startup-1")
            killed.set()

    with services(config):
        loop_steps.run_startup(config, platform, 100, seed=0, report=kill)
    assert {run.run_id: run.state for run in platform.runner.runs()} == {
        "startup-1": "failed",
        "startup-2": "succeeded",
    }
    [_, trained] = platform.endpoint.versions()
    assert trained.interactions == pytest.approx(90, abs=10)


def test_an_interrupt_during_a_query_raises_keyboard_interrupt():
    with duckdb.connect(config={"threads": 1}) as connection:  # DuckDB checks for signals only in a working thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(KeyboardInterrupt), explained():
            connection.sql("SELECT sum(a.range * b.range) FROM range(900000) a, range(900000) b").fetchall()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.slow
def test_a_killed_publisher_is_replaced(tmp_path):
    with served(tmp_path) as platform:
        for _ in range(2):
            wait_until(lambda: publishers(tmp_path))
            [publisher] = publishers(tmp_path)
            os.kill(int(publisher), signal.SIGKILL)
            wait_until(lambda dead=publisher: publishers(tmp_path) not in ([], [dead]))
            platform.endpoint.predict([[0.0] * 20])
            wait_until(lambda: platform.bus.deliver("decisions", lambda payloads: None))


def publishers(root: Path) -> list[str]:
    return processes_with(str(root), "serving.outbox_publisher")


@pytest.mark.slow
def test_no_process_outlives_a_killed_run_or_serve(config, tmp_path):
    """kill -9 of a run ends its task; kill -9 of `serve` ends its predictor and logger."""
    platform = connect(config)
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with process(config, "-m", "banditloop.pipelines", "serve", "-c", str(tmp_path / "config.json")) as serving:
        wait_until(platform.endpoint.serving_versions)
        assert len(processes_with(config.backend.root, "banditloop.functions.")) == 2
        serving.send_signal(signal.SIGKILL)
        wait_until(lambda: not processes_with(config.backend.root, "banditloop.functions."))
    template, _ = compile_pipelines(tmp_path / "pipelines")
    platform.runner.submit(template, {"config": config.to_dict()}, "startup-1")
    wait_until(lambda: processes_with(config.backend.root, "executor_main"))
    kill_run(platform, "startup-1")
    wait_until(lambda: not processes_with(config.backend.root, "executor_main"), 5)
    assert platform.runner.state("startup-1") == "failed"


def processes_with(root: str, part: str) -> list[str]:
    """Ids of processes with `part` in the command line and `root` there or in the environment."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (path / "cmdline").read_text()
            if part in command and root in command + (path / "environ").read_text():
                pids.append(path.name)
    return pids
