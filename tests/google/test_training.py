"""Training in custom jobs: shards add up to one pass, also on machines that are preempted."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import yaml
from google.cloud import aiplatform_v1 as v1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import compiler, dsl

from banditloop.pipelines.compile import TRAINERS, compile_pipelines, export_components
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google import custom_job
from banditloop.rl_core.backends.google.clients import location_name, vertex_client
from banditloop.rl_core.backends.google.custom_job_replica import shard
from banditloop.rl_core.errors import InvalidInput, PlatformError
from banditloop.rl_core.events import examples
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.training import shards
from banditloop.rl_core.training.train import initial_statistics
from tests.conftest import assert_same, make_config, make_policy, random_interactions
from tests.ports.conftest import vertex
from tests.support.containers import IMAGE
from tests.support.processes import wait_until

GOOGLE = {"name": "google", "project": "banditloop-test", "bucket": "training", "image": IMAGE}
ROWS, FILES = 20, 120
ENCODING = Encoding.of_vectors(20, 20)


class Preempted(Exception):
    """Raised where a machine would be taken away."""


@pytest.fixture
def jobs(monkeypatch):
    """The Vertex AI stand-in that runs custom jobs."""
    monkeypatch.setenv("VERTEX_EMULATOR_HOST", vertex().address)
    return vertex()


def latest_job(jobs):
    return list(jobs.custom_jobs.values())[-1]


def google_config(folder, runner="vertex", endpoint="movielens", **training):
    return make_config(folder, backend=GOOGLE | {"runner": runner, "endpoint": endpoint}, training=training)


def write_files(folder, files=FILES):
    """Write this many files of ROWS interactions each; returns the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "ROWS_PER_FILE", ROWS)
        examples.write_examples(random_interactions(ROWS * files).to_batches(), folder)
    return folder


def train_in_one_pass(config, folder, parent=None):
    return shards.train_here(config, folder, ENCODING, parent)


def run_training(config, folder, parent, work, encoding=ENCODING):
    return connect(config).runner.train(config, folder, encoding, parent, work)


@pytest.fixture(scope="module")
def five_files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("files"), 5)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(shard_count=st.integers(1, 7), stops=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=4))
def test_interrupted_shards_add_up_to_one_pass(five_files, shard_count, stops, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    config = make_config(work)
    ENCODING.write(work)
    for number, calls in stops:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted):
            patch.setattr(shards, "_checkpoint", preempted_after(calls, shards._checkpoint))
            patch.setattr(shards, "_unfinished", preempted_after(0, shards._unfinished))
            shards.train_shard(config, five_files, work, number % shard_count, shard_count)
            raise Preempted
    for number in reversed(range(shard_count)):
        shards.train_shard(config, five_files, work, number, shard_count)
    assert_same(shards.merge_shards(config, five_files, work, shard_count), train_in_one_pass(config, five_files))


def preempted_after(calls, function):
    """The function, raising Preempted once it was called this often."""
    remaining = iter(range(calls))

    def preempted(*arguments):
        if next(remaining, None) is None:
            raise Preempted
        return function(*arguments)

    return preempted


def test_shards_that_resume_judge_what_they_add_by_what_was_before(five_files, tmp_path):
    config = make_config(tmp_path, agent={"name": "linear_thompson"})
    parent, work = tmp_path / "parent", tmp_path / "work"
    make_policy(parent, agent=config.agent)
    shards.seed_shards(config, work, initial_statistics(config, ENCODING, parent), ENCODING)
    for number in (2, 1, 0):
        shards.train_shard(config, five_files, work, number, 3)
    merged, whole = shards.merge_shards(config, five_files, work, 3), train_in_one_pass(config, five_files, parent)
    assert_same(merged, whole)
    assert merged["evidence"][0] != 0


def test_seeding_the_first_shard_again_keeps_its_checkpoint(five_files, tmp_path):
    config, statistics = make_config(tmp_path), initial_statistics(make_config(tmp_path), ENCODING, None)
    shards.seed_shards(config, tmp_path, statistics, ENCODING)
    shards.train_shard(config, five_files, tmp_path, 0, 1)
    shards.seed_shards(config, tmp_path, statistics, ENCODING)  # by a second attempt
    assert_same(shards.merge_shards(config, five_files, tmp_path, 1), train_in_one_pass(config, five_files))


def test_merging_unfinished_shards_is_an_error(five_files, tmp_path):
    config, work = make_config(tmp_path), tmp_path / "work"
    shards.seed_shards(config, work, initial_statistics(config, ENCODING, None), ENCODING)
    shards.train_shard(config, five_files, work, 1, 3)
    with pytest.raises(PlatformError, match=r"shards \[0, 2\] of 3 are unfinished"):
        shards.merge_shards(config, five_files, work, 3)


def test_a_spot_job_with_two_preempted_replicas_equals_one_pass(jobs, tmp_path):
    folder, work = write_files(tmp_path / "examples"), tmp_path / "work"
    backend = {"machine_type": "n1-standard-8", "replicas": 3, "spot": True}
    config = google_config(tmp_path, accelerator="NVIDIA_TESLA_T4", accelerator_count=2, **backend)
    make_policy(tmp_path / "parent")
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(run_training, config, folder, tmp_path / "parent", work)
        remaining = {work / "shard-00000.npz": (0, 0), work / "shard-00001.npz": (1, 0)}
        while remaining and not training.done():  # each after its first checkpoint, long before its end
            for path in [path for path in remaining if shards._files_done(path)]:
                jobs.replicas[latest_job(jobs).name][remaining.pop(path)].kill()
            time.sleep(0.005)
        job = latest_job(jobs)
        assert_same(training.result(600), train_in_one_pass(config, folder, tmp_path / "parent"))
    assert sorted(jobs.restarts[job.name]) == [(0, 0), (1, 0)]
    assert job.state == v1.JobState.JOB_STATE_SUCCEEDED
    first_pool, second_pool = job.job_spec.worker_pool_specs
    assert (first_pool.replica_count, second_pool.replica_count) == (1, 2)
    for pool in (first_pool, second_pool):
        assert pool.machine_spec.machine_type == "n1-standard-8"
        assert pool.machine_spec.accelerator_type == v1.AcceleratorType.NVIDIA_TESLA_T4
        assert pool.machine_spec.accelerator_count == 2
        assert pool.container_spec.image_uri == IMAGE
    assert job.job_spec.scheduling.strategy == v1.Scheduling.Strategy.SPOT
    assert job.job_spec.service_account == config.backend.service_account_email()
    assert job.labels["banditloop"] == config.backend.endpoint


def test_a_preempted_job_continues_a_network_from_its_parent(jobs, tmp_path):
    """Equal to the same shard trained in this process without interruption."""
    agent = NeuralEpsilonGreedy(epochs=1)
    config = google_config(tmp_path, machine_type="n1-standard-8", spot=True)
    config = config.model_copy(update={"agent": agent})
    folder, parent, work = write_files(tmp_path / "examples", 12), tmp_path / "parent", tmp_path / "work"
    make_policy(parent, agent=agent)
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(run_training, config, folder, parent, work)
        wait_until(lambda: training.done() or shards._files_done(work / "shard-00000.npz"))
        jobs.replicas[latest_job(jobs).name][0, 0].kill()
        statistics = training.result(600)
    assert jobs.restarts[latest_job(jobs).name] == [(0, 0)]
    shards.seed_shards(config, tmp_path / "here", initial_statistics(config, ENCODING, parent), ENCODING)
    shards.train_shard(config, folder, tmp_path / "here", 0, 1)
    assert_same(statistics, shards.merge_shards(config, folder, tmp_path / "here", 1))
    assert statistics["counts"].sum() == 400 + 12 * ROWS


def test_a_failed_job_is_raised_in_one_line(jobs, tmp_path):
    config = google_config(tmp_path, machine_type="n1-standard-4")
    with pytest.raises(PlatformError, match=r"custom job \d+: failed: The replica workerpool0-0 exited with status 2"):
        run_training(config, write_files(tmp_path / "examples", 1), None, tmp_path / "work", Encoding.of_vectors(20, 3))
    assert jobs.restarts[latest_job(jobs).name] == []  # each would be paid for


@pytest.mark.parametrize("spot", [False, True])
def test_only_spot_machines_are_replaced(tmp_path, spot):
    config = google_config(tmp_path, machine_type="n1-standard-4", spot=spot)
    scheduling = custom_job._job(config, config.backend, ["", ""]).job_spec.scheduling
    assert scheduling.disable_retries is not spot
    assert not scheduling.restart_job_on_worker_restart  # the other replicas have checkpoints of their own


def test_an_accelerator_unknown_to_vertex_ai_is_refused(jobs, tmp_path):
    config = google_config(tmp_path, machine_type="n1-standard-4", accelerator="nvidia.com/gpu")
    with pytest.raises(
        InvalidInput, match=r"accelerator = 'nvidia.com/gpu': is not .*; give one of: .*NVIDIA_TESLA_T4"
    ):
        custom_job.run(config, config.backend, ["", ""])


def test_a_job_is_cancelled_when_its_caller_ends(jobs, tmp_path, monkeypatch):
    config = google_config(tmp_path, machine_type="n1-standard-4")
    monkeypatch.setattr(custom_job, "time", SimpleNamespace(sleep=preempted_after(0, None)))
    with pytest.raises(Preempted):
        custom_job.run(config, config.backend, ["", ""])
    assert latest_job(jobs).state == v1.JobState.JOB_STATE_CANCELLED


def test_removing_a_loop_cancels_only_its_own_jobs(jobs, tmp_path):
    configs = [google_config(tmp_path, machine_type="n1-standard-4", endpoint=name) for name in ("ours", "other")]
    for config in configs:
        backend = config.backend
        client = vertex_client(backend, v1.JobServiceClient)
        client.create_custom_job(parent=location_name(backend), custom_job=custom_job._job(config, backend, ["", ""]))
    custom_job.cancel_all(configs[0].backend)
    ours, other = list(jobs.custom_jobs.values())[-2:]
    assert (ours.state, other.state) == (v1.JobState.JOB_STATE_CANCELLED, v1.JobState.JOB_STATE_RUNNING)
    custom_job.cancel_all(configs[1].backend)


def test_a_replica_derives_its_shard_from_the_cluster_spec():
    cluster = {"workerpool0": ["a:1"], "workerpool1": ["b:1", "c:1"]}
    tasks = [("workerpool0", 0), ("workerpool1", 0), ("workerpool1", 1)]
    replica_shards = [shard({"cluster": cluster, "task": {"type": pool, "index": index}}) for pool, index in tasks]
    assert replica_shards == [(0, 3), (1, 3), (2, 3)]


def test_the_trainers_task_requests_the_configured_resources_as_kfp_writes_them(tmp_path):
    config = google_config(tmp_path, cpus=8, memory_gb=30, accelerator="NVIDIA_TESLA_T4")
    paths = [*compile_pipelines(tmp_path / "pipelines", config), *export_components(tmp_path / "components", config)]
    for path in paths:
        for name, executor in yaml.safe_load(path.read_text())["deploymentSpec"]["executors"].items():
            expected = resources_written_by_kfp(tmp_path) if name in TRAINERS else None
            assert executor["container"].get("resources") == expected


def resources_written_by_kfp(folder):
    @dsl.component(base_image=IMAGE)
    def trainer():
        pass

    @dsl.pipeline(name="training")
    def training():
        task = trainer().set_cpu_limit("8").set_memory_limit("30G")
        task.set_accelerator_type("NVIDIA_TESLA_T4").set_accelerator_limit(1)

    compiler.Compiler().compile(training, str(folder / "training.yaml"))
    spec = yaml.safe_load((folder / "training.yaml").read_text())
    return spec["deploymentSpec"]["executors"]["exec-trainer"]["container"]["resources"]


@pytest.mark.parametrize("key", [{"replicas": 2}, {"spot": True}])
def test_settings_of_a_custom_job_require_a_machine_type(tmp_path, key):
    with pytest.raises(InvalidInput, match=rf"{next(iter(key))}.*machine_type"):
        google_config(tmp_path, **key)


def test_without_vertex_ai_the_task_itself_trains(tmp_path, five_files):
    config = google_config(tmp_path, machine_type="n1-standard-4", replicas=2, runner="local")
    assert isinstance(config.agent, LinUCB)
    assert_same(run_training(config, five_files, None, tmp_path / "work"), train_in_one_pass(config, five_files))
