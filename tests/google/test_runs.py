"""The list of runs on Vertex AI, which every tick reads, stays small however many there are; ids are never reused."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from google.cloud import aiplatform_v1 as v1

from banditloop.functions.trigger import tick
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import location_name
from banditloop.rl_core.backends.google.runner import LISTED_RUNS
from banditloop.rl_core.policies.release import Release
from tests.conftest import make_policy
from tests.ports.conftest import google

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def ended(stand_in, backend, run_ids):
    """Add failed runs of these ids, one an hour."""
    for number, run_id in enumerate(run_ids):
        name = f"{location_name(backend)}/pipelineJobs/{backend.endpoint}-{run_id}"
        stand_in.jobs[name] = v1.PipelineJob(
            name=name,
            state=v1.PipelineState.PIPELINE_STATE_FAILED,
            error={"code": 9, "message": "The DAG failed."},
            labels={"banditloop": backend.endpoint},
            create_time=BEGIN + timedelta(hours=number),
            pipeline_spec={"a pipeline": "x" * 100_000},
        )


def test_the_newest_runs_are_listed_by_one_call_without_their_pipelines(tmp_path, own_vertex, monkeypatch):
    config = google(tmp_path)
    ended(own_vertex, config.backend, [f"r{number}" for number in range(3 * LISTED_RUNS)])
    other = list(own_vertex.jobs.values())[-1]
    other.labels = {"banditloop": "another"}
    responses, answer = [], own_vertex.ListPipelineJobs
    monkeypatch.setattr(own_vertex, "_refreshed", lambda job: job)
    monkeypatch.setattr(own_vertex, "ListPipelineJobs", lambda *call: responses.append(answer(*call)) or responses[-1])
    runs = connect(config).runner.runs()
    assert [run.run_id for run in runs] == [f"r{number}" for number in range(199, 299)]
    assert runs[-1][1:3] == ("failed", BEGIN + timedelta(hours=298))
    assert runs[-1].reason == "The DAG failed."
    [response] = responses
    assert len(v1.ListPipelineJobsResponse.serialize(response)) < 50_000


def test_the_trigger_takes_the_first_free_number_where_old_attempts_are_not_listed(tmp_path, own_vertex, monkeypatch):
    config, submitted = google(tmp_path, retraining={"min_new_interactions": 1}), []
    compile_pipelines(tmp_path / "pipelines", config)
    version = make_policy(tmp_path / "policy").model_copy(update={"version": "v1"})
    attempts = [f"retraining-v1-{number}" for number in (1, 2)]
    ended(own_vertex, config.backend, [*attempts, *(f"r{number}" for number in range(LISTED_RUNS))])
    monkeypatch.setattr(own_vertex, "_refreshed", lambda job: job)
    monkeypatch.setattr(own_vertex, "_run", lambda parent, job, run: submitted.append(run) or job)
    endpoint = SimpleNamespace(release=lambda: Release(champion="v1"), verdicts=list, versions=lambda: [version])
    warehouse = SimpleNamespace(window=lambda since: SimpleNamespace(interactions=1))
    platform = connect(config).with_ports(endpoint=endpoint, warehouse=warehouse)
    assert tick(config, platform) == ("retraining-v1-3", "1 new interactions")
    assert submitted == [f"{config.backend.endpoint}-retraining-v1-3"]
