"""Contract of the runner: states, errors and logs of runs; schedules that start runs until they are paused."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from kfp import compiler, dsl

from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from tests.ports.conftest import RUNNERS, backend_params, kubeflow, vertex
from tests.support.processes import wait_until

NIGHTLY = "30 3 * * *"
INVALID_CRONS = ("", "soon", "* * * *", "0 3 * * * *", "61 * * * *", "0 0 31 2 *", "0 0 L * *", "0 0 * * 7", "@daily")


@pytest.fixture(params=backend_params(RUNNERS))
def configure(request, tmp_path):
    return lambda **sections: request.param(tmp_path, **sections)


@pytest.fixture
def scheduler(configure):
    """The runner of a backend with schedules, and a function that starts the next run of a schedule by its name."""
    backend = configure().backend
    if backend.name == "local":
        pytest.skip("the local backend has no schedules: `banditloop serve` retrains")
    stand_in = {"vertex": vertex, "kfp": kubeflow}[backend.runner]()
    return connect(configure()).runner, lambda name: stand_in.fire(backend.endpoint, name)


@dsl.component(base_image="registry.test/banditloop:test", install_kfp_package=False)
def sleeper(seconds: float, config: dict, fails: bool = False):
    import time

    time.sleep(seconds)
    if fails:
        raise ValueError(f"injected failure with {config}")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    @dsl.pipeline(name="sleep")
    def sleep(seconds: float, config: dict, fails: bool = False):
        sleeper(seconds=seconds, config=config, fails=fails)

    path = tmp_path_factory.mktemp("template") / "sleep.yaml"
    compiler.Compiler().compile(sleep, str(path))
    assert len(list(yaml.safe_load_all(path.read_text()))) == 1
    return path


def finish(platform, run_id):
    deadline = time.monotonic() + 60
    while platform.runner.state(run_id) == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return platform.runner.state(run_id)


def test_a_run_on_this_machine_leaves_no_temporary_files(config, template, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    platform = connect(config)
    for fails in (False, True):
        platform.runner.submit(template, {"seconds": 0.0, "config": {}, "fails": fails}, f"run-{fails}")
    assert [finish(platform, f"run-{fails}") for fails in (False, True)] == ["succeeded", "failed"]
    assert list((tmp_path / "temporary").iterdir()) == []


class TestRunner:
    def test_a_run_succeeds_or_fails_with_a_reason(self, platform, template):
        parameters = {"seconds": 0.0, "config": {"a": 1}}
        assert platform.runner.runs() == []
        assert platform.runner.submit(template, parameters, "good")
        assert finish(platform, "good") == "succeeded"
        assert platform.runner.submit(template, parameters | {"fails": True}, "bad")
        assert finish(platform, "bad") == "failed"
        assert platform.runner.explain("bad") == "sleeper: ValueError: injected failure with {'a': 1.0}"
        assert [run[:2] for run in platform.runner.runs()] == [("good", "succeeded"), ("bad", "failed")]
        assert platform.runner.runs()[0].started <= platform.runner.runs()[1].started

    def test_a_run_id_starts_one_run_only(self, platform, template):
        parameters = {"seconds": 1.0, "config": {}}
        assert platform.runner.submit(template, parameters, "run")
        assert platform.runner.state("run") == "running"
        assert not platform.runner.submit(template, parameters, "run")
        assert finish(platform, "run") == "succeeded"
        assert not platform.runner.submit(template, parameters, "run")
        assert len(platform.runner.runs()) == 1

    def test_wrong_parameters_and_templates_are_refused_with_the_reason(self, platform, template, tmp_path):
        parameters = {"seconds": 0.0, "config": {}}
        for wrong, message in (
            (parameters | {"no": 1}, "parameter 'no': is not one of: config, fails, seconds"),
            (parameters | {"config": "text"}, "parameter config = 'text': is not of type STRUCT"),
            (parameters | {"seconds": True}, "parameter seconds = True: is not of type NUMBER_DOUBLE"),
            ({"config": {}}, "parameter 'seconds': is missing"),
        ):
            with pytest.raises(InvalidInput, match=message):
                platform.runner.submit(template, wrong, "run")
        (tmp_path / "empty.yaml").write_text("a: 1")
        with pytest.raises(InvalidInput, match="not a compiled pipeline"):
            platform.runner.submit(tmp_path / "empty.yaml", {}, "run")
        assert platform.runner.runs() == []
        with pytest.raises(InvalidInput, match="No such file"):
            platform.runner.submit(tmp_path / "none.yaml", {}, "other")
        for read in (platform.runner.state, platform.runner.log):
            with pytest.raises(InvalidInput, match="no such run"):
                read("other")

    def test_the_log_has_every_task_and_the_error(self, platform, template):
        parameters = {"seconds": 0.0, "config": {"a": 1}, "fails": True}
        assert platform.runner.submit(template, parameters, "bad")
        finish(platform, "bad")
        log = platform.runner.log("bad")
        assert "sleeper" in log
        assert "ValueError: injected failure with {'a': 1.0}" in log

    def test_the_tasks_of_a_run_have_times_and_states(self, platform, template):
        runner = platform.runner
        assert runner.submit(template, {"seconds": 0.5, "config": {}, "fails": True}, "bad")
        finish(platform, "bad")
        [task] = runner.tasks("bad")
        [run] = runner.runs()
        assert task[:2] == ("sleeper", "failed")
        second = timedelta(seconds=1)  # platforms round
        assert run.started - second <= task.started < task.ended <= run.ended + second
        assert runner.artifacts("bad") == []
        assert re.fullmatch(
            r"|https://console.cloud.google.com/.*bad\?project=.*|http.*/#/runs/details/.*", runner.page("bad")
        )

    def test_a_cancelled_run_fails_and_its_tasks_end(self, platform, template):
        assert platform.runner.submit(template, {"seconds": 600.0, "config": {}}, "run")
        wait_until(lambda: platform.runner.tasks("run"))
        platform.runner.cancel("run")
        assert finish(platform, "run") == "failed"
        assert platform.runner.explain("run") == platform.runner.runs()[0].reason == "cancelled"
        with pytest.raises(InvalidInput, match="run 'run': is not running: it has failed"):
            platform.runner.cancel("run")
        for read in (platform.runner.tasks, platform.runner.artifacts, platform.runner.page, platform.runner.cancel):
            with pytest.raises(InvalidInput, match="no such run"):
                read("other")


class TestSchedules:
    def test_scheduling_a_name_again_replaces_the_schedule(self, scheduler, platform, template):
        runner, fire = scheduler
        parameters = {"seconds": 0.0, "config": {"a": 1}}
        assert runner.schedules() == []
        runner.schedule("nightly", NIGHTLY, template, parameters)
        runner.schedule("hourly", "15 * * * *", template, parameters)
        runner.schedule("nightly", "0  4 * * MON", template, parameters | {"fails": True})
        hourly, nightly = runner.schedules()
        assert hourly[:3] == ("hourly", "15 * * * *", "active")
        assert nightly[:3] == ("nightly", "0 4 * * MON", "active")
        assert nightly.next_run.tzinfo is not None
        assert nightly.next_run > datetime.now(UTC)
        assert (nightly.next_run.weekday(), nightly.next_run.hour, nightly.next_run.minute) == (0, 4, 0)
        assert hourly.next_run <= datetime.now(UTC) + timedelta(hours=1)
        fire("nightly")
        [run] = runner.runs()
        assert finish(platform, run.run_id) == "failed"
        assert runner.explain(run.run_id) == "sleeper: ValueError: injected failure with {'a': 1.0}"
        assert "injected failure" in runner.log(run.run_id)
        assert runner.submit(template, parameters, "nightly")
        assert finish(platform, "nightly") == "succeeded"
        assert len(runner.runs()) == 2

    def test_a_paused_schedule_starts_nothing_until_it_is_resumed(self, scheduler, template):
        runner, fire = scheduler
        parameters = {"seconds": 0.0, "config": {}}
        runner.schedule("nightly", NIGHTLY, template, parameters)
        for _ in range(2):
            runner.pause("nightly")
        assert runner.schedules() == [("nightly", NIGHTLY, "paused", None)]
        runner.schedule("nightly", "0 5 * * *", template, parameters)
        assert runner.schedules() == [("nightly", "0 5 * * *", "paused", None)]
        fire("nightly")
        assert runner.runs() == []
        for _ in range(2):
            runner.resume("nightly")
        [(_, _, state, next_run)] = runner.schedules()
        assert (state, next_run.hour) == ("active", 5)
        fire("nightly")
        assert len(runner.runs()) == 1

    def test_removing_a_schedule_keeps_its_runs(self, scheduler, platform, template):
        runner, fire = scheduler
        runner.schedule("nightly", NIGHTLY, template, {"seconds": 0.0, "config": {}})
        fire("nightly")
        assert runner.unschedule("nightly")
        assert not runner.unschedule("nightly")
        assert runner.schedules() == []
        [run] = runner.runs()
        assert finish(platform, run.run_id) == "succeeded"
        for change in (runner.pause, runner.resume):
            with pytest.raises(InvalidInput, match="schedule 'nightly': there is no such schedule"):
                change("nightly")

    def test_loops_have_separate_schedules(self, scheduler, configure, template):
        runner, _ = scheduler
        runner.schedule("nightly", NIGHTLY, template, {"seconds": 0.0, "config": {}})
        config = configure()
        backend = config.backend.model_copy(update={"endpoint": f"{config.backend.endpoint}-nightly"})
        other = connect(config.model_copy(update={"backend": backend})).runner
        assert other.schedules() == other.runs() == []
        assert not other.unschedule("nightly")
        assert len(runner.schedules()) == 1

    def test_an_invalid_cron_or_parameter_is_refused_with_the_reason(self, scheduler, template):
        runner, _ = scheduler
        parameters = {"seconds": 0.0, "config": {}}
        for cron in INVALID_CRONS:
            with pytest.raises(InvalidInput, match=rf"cron = '{re.escape(cron)}': .*as '30 3"):
                runner.schedule("nightly", cron, template, parameters)
        with pytest.raises(InvalidInput, match="parameter 'no': is not one of"):
            runner.schedule("nightly", NIGHTLY, template, parameters | {"no": 1})
        assert runner.schedules() == []


def test_the_local_runner_refuses_schedules(tmp_path, template):
    runner = connect(RUNNERS["local"](tmp_path)).runner
    assert runner.schedules() == []
    for call in (
        lambda: runner.schedule("nightly", NIGHTLY, template, {"seconds": 0.0, "config": {}}),
        lambda: runner.pause("nightly"),
        lambda: runner.resume("nightly"),
        lambda: runner.unschedule("nightly"),
    ):
        with pytest.raises(InvalidInput, match=r"schedule 'nightly': nothing .* `banditloop serve` retrains here"):
            call()


def test_a_list_of_several_pages_is_read_completely(tmp_path, template, monkeypatch):
    monkeypatch.setattr("banditloop.rl_core.backends.kubeflow.experiment.PAGE_SIZE", 2)
    runner = connect(RUNNERS["kfp"](tmp_path)).runner
    for number in range(5):
        runner.schedule(f"{number}", NIGHTLY, template, {"seconds": 0.0, "config": {}})
    assert [schedule.name for schedule in runner.schedules()] == ["0", "1", "2", "3", "4"]


def test_a_run_id_that_vertex_ai_rejects_is_refused(tmp_path, template):
    with pytest.raises(InvalidInput, match="run_id = 'A_run': give lowercase letters, digits and -"):
        connect(RUNNERS["google"](tmp_path)).runner.submit(template, {"seconds": 0.0, "config": {}}, "A_run")
