"""Training on machines of its own: shares add up to one pass, on machines that are taken away too."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import yaml
from google.cloud import aiplatform_v1 as v1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import compiler, dsl

from pipelines.compiling import compile_pipelines, export_components
from rl_core import examples, shares
from rl_core.agents import LinUCB, NeuralEpsilonGreedy
from rl_core.backends.google import custom_job
from rl_core.backends.google.clients import place
from rl_core.backends.google.clients import vertex as vertex_client
from rl_core.backends.google.replica import share
from rl_core.backends.scale import trained
from rl_core.errors import InvalidInput, PlatformError
from rl_core.training import start, train
from tests.conftest import assert_same, make_config, make_policy, random_interactions
from tests.containers import IMAGE
from tests.ports.conftest import vertex
from tests.processes import wait_until

GOOGLE = {"name": "google", "project": "banditloop-test", "bucket": "training", "image": IMAGE}
DIM, ACTIONS, ROWS, FILES = 20, 20, 20, 120


class Stopped(Exception):
    pass


@pytest.fixture
def jobs(monkeypatch):
    """The Vertex AI that has them."""
    monkeypatch.setenv("VERTEX_EMULATOR_HOST", vertex().address)
    return vertex()


def newest(jobs):
    return list(jobs.custom_jobs.values())[-1]


def asking(folder, **backend):
    return make_config(folder, backend=GOOGLE | backend)


def written(folder, files=FILES):
    """A folder of files, each of so many interactions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "ROWS_PER_FILE", ROWS)
        examples.write_examples(random_interactions(ROWS * files).to_batches(), folder)
    return folder


def in_one_pass(config, folder, parent=None):
    return train(config, examples.read_examples(examples.example_files(folder)), start(config, parent))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return written(tmp_path_factory.mktemp("few"), 5)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(many=st.integers(1, 7), stops=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=4))
def test_shares_that_are_stopped_anywhere_add_up_to_one_pass(few, many, stops, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    config = make_config(work)
    for number, after in stops:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(shares, "_keep", stopping(shares._keep, after))
            patch.setattr(shares, "_missing", stopping(shares._missing, 0))
            shares.train_share(config, few, work, number % many, many)
            raise Stopped
    for number in reversed(range(many)):
        shares.train_share(config, few, work, number, many)
    assert_same(shares.merged(config, few, work, many), in_one_pass(config, few))


def stopping(call, after):
    """A machine that is taken away at the call that comes after so many."""
    left = iter(range(after))

    def stopped(*arguments):
        if next(left, None) is None:
            raise Stopped
        return call(*arguments)

    return stopped


def test_what_the_first_share_goes_on_from_is_said_once(few, tmp_path):
    config, given = make_config(tmp_path), start(make_config(tmp_path), None)
    shares.begin(tmp_path, given)
    shares.train_share(config, few, tmp_path, 0, 1)
    shares.begin(tmp_path, given)  # of another attempt
    assert_same(shares.merged(config, few, tmp_path, 1), in_one_pass(config, few))


def test_shares_that_have_not_ended_are_not_taken_for_all(few, tmp_path):
    config = make_config(tmp_path)
    shares.train_share(config, few, tmp_path / "work", 1, 3)
    with pytest.raises(PlatformError, match=r"shares \[0, 2\] of 3 have not ended"):
        shares.merged(config, few, tmp_path / "work", 3)


def test_a_job_of_three_spot_machines_trains_what_one_pass_does_though_two_are_taken_away(jobs, tmp_path):
    folder, work = written(tmp_path / "examples"), tmp_path / "work"
    backend = {"trainer_machine": "n1-standard-8", "trainer_replicas": 3, "trainer_spot": True}
    config = asking(tmp_path, trainer_accelerator="NVIDIA_TESLA_T4", trainer_accelerators=2, **backend)
    make_policy(tmp_path / "parent")
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(trained, config, folder, tmp_path / "parent", work)
        left = {work / "share-00000.npz": (0, 0), work / "share-00001.npz": (1, 0)}
        while left and not training.done():  # each once it has kept something, and long before its end
            for path in [path for path in left if shares._done(path)]:
                jobs.replicas[newest(jobs).name][left.pop(path)].kill()
            time.sleep(0.005)
        job = newest(jobs)
        assert_same(training.result(600), in_one_pass(config, folder, tmp_path / "parent"))
    assert sorted(jobs.restarts[job.name]) == [(0, 0), (1, 0)]
    assert job.state == v1.JobState.JOB_STATE_SUCCEEDED
    first, others = job.job_spec.worker_pool_specs
    assert (first.replica_count, others.replica_count) == (1, 2)
    for pool in (first, others):
        assert pool.machine_spec.machine_type == "n1-standard-8"
        assert pool.machine_spec.accelerator_type == v1.AcceleratorType.NVIDIA_TESLA_T4
        assert pool.machine_spec.accelerator_count == 2
        assert pool.container_spec.image_uri == IMAGE
    assert job.job_spec.scheduling.strategy == v1.Scheduling.Strategy.SPOT
    assert job.job_spec.service_account == config.backend.runs_as()
    assert job.labels["banditloop"] == config.backend.endpoint


def test_a_job_trains_a_network_on_from_its_parent_though_its_machine_is_taken_away(jobs, tmp_path):
    """As the same share does here without being disturbed."""
    agent = NeuralEpsilonGreedy(epochs=1)
    config = asking(tmp_path, trainer_machine="n1-standard-8", trainer_spot=True)
    config = config.model_copy(update={"agent": agent})
    folder, parent, work = written(tmp_path / "examples", 12), tmp_path / "parent", tmp_path / "work"
    make_policy(parent, agent=agent)
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(trained, config, folder, parent, work)
        wait_until(lambda: training.done() or shares._done(work / "share-00000.npz"))
        jobs.replicas[newest(jobs).name][0, 0].kill()
        found = training.result(600)
    assert jobs.restarts[newest(jobs).name] == [(0, 0)]
    shares.begin(tmp_path / "here", start(config, parent))
    shares.train_share(config, folder, tmp_path / "here", 0, 1)
    assert_same(found, shares.merged(config, folder, tmp_path / "here", 1))
    assert found["counts"].sum() == 400 + 12 * ROWS


def test_a_job_that_fails_is_one_line(jobs, tmp_path):
    config = asking(tmp_path, trainer_machine="n1-standard-4")
    changed = make_config(tmp_path, backend=config.backend.model_dump(), environment={"movies": 3})
    with pytest.raises(PlatformError, match=r"custom job \d+: failed: The replica workerpool0-0 exited with status 2"):
        trained(changed, written(tmp_path / "examples", 1), None, tmp_path / "work")


def test_an_accelerator_that_vertex_ai_does_not_have_is_told(jobs, tmp_path):
    config = asking(tmp_path, trainer_machine="n1-standard-4", trainer_accelerator="nvidia.com/gpu")
    with pytest.raises(InvalidInput, match=r"trainer_accelerator = 'nvidia.com/gpu': Vertex AI has .*NVIDIA_TESLA_T4"):
        custom_job.run(config, config.backend, ["", ""])


def test_a_job_whose_trainer_ends_is_cancelled(jobs, tmp_path, monkeypatch):
    config = asking(tmp_path, trainer_machine="n1-standard-4")
    monkeypatch.setattr(custom_job, "time", SimpleNamespace(sleep=stopping(None, 0)))
    with pytest.raises(Stopped):
        custom_job.run(config, config.backend, ["", ""])
    assert newest(jobs).state == v1.JobState.JOB_STATE_CANCELLED


def test_jobs_that_go_on_end_with_the_loop(jobs, tmp_path):
    backends = [asking(tmp_path, trainer_machine="n1-standard-4", endpoint=name).backend for name in ("ours", "other")]
    for backend in backends:
        client = vertex_client(backend, v1.JobServiceClient)
        config = asking(tmp_path, **backend.model_dump(exclude={"name"}))
        client.create_custom_job(parent=place(backend), custom_job=custom_job._job(config, backend, ["", ""]))
    custom_job.cancel_all(backends[0])
    ours, other = list(jobs.custom_jobs.values())[-2:]
    assert (ours.state, other.state) == (v1.JobState.JOB_STATE_CANCELLED, v1.JobState.JOB_STATE_RUNNING)
    custom_job.cancel_all(backends[1])


def test_a_replica_knows_its_share():
    cluster = {"workerpool0": ["a:1"], "workerpool1": ["b:1", "c:1"]}
    places = [("workerpool0", 0), ("workerpool1", 0), ("workerpool1", 1)]
    found = [share({"cluster": cluster, "task": {"type": pool, "index": index}}) for pool, index in places]
    assert found == [(0, 3), (1, 3), (2, 3)]


def test_the_trainers_task_asks_for_what_the_config_says_as_kfp_writes_it(tmp_path):
    config = asking(tmp_path, trainer_cpus=8, trainer_memory=30, trainer_accelerator="NVIDIA_TESLA_T4")
    paths = [*compile_pipelines(tmp_path / "pipelines", config), *export_components(tmp_path / "components", config)]
    for path in paths:
        for name, executor in yaml.safe_load(path.read_text())["deploymentSpec"]["executors"].items():
            wanted = as_kfp_writes_it(tmp_path) if name == "exec-trainer" else None
            assert executor["container"].get("resources") == wanted


def as_kfp_writes_it(folder):
    @dsl.component(base_image=IMAGE)
    def trainer():
        pass

    @dsl.pipeline(name="asking")
    def asking():
        task = trainer().set_cpu_limit("8").set_memory_limit("30G")
        task.set_accelerator_type("NVIDIA_TESLA_T4").set_accelerator_limit(1)

    compiler.Compiler().compile(asking, str(folder / "asking.yaml"))
    spec = yaml.safe_load((folder / "asking.yaml").read_text())
    return spec["deploymentSpec"]["executors"]["exec-trainer"]["container"]["resources"]


@pytest.mark.parametrize("key", [{"trainer_replicas": 2}, {"trainer_spot": True}])
def test_what_only_a_custom_job_has_needs_its_machine(tmp_path, key):
    with pytest.raises(InvalidInput, match=rf"{next(iter(key))}.*trainer_machine"):
        asking(tmp_path, **key)


def test_elsewhere_than_on_vertex_the_task_itself_trains(tmp_path, few):
    config = asking(tmp_path, trainer_machine="n1-standard-4", trainer_replicas=2, runner="local")
    assert isinstance(config.agent, LinUCB)
    assert_same(trained(config, few, None, tmp_path / "work"), in_one_pass(config, few))
