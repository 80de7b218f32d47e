"""The list of runs on Vertex AI, which every tick reads, stays small however many there are."""

from datetime import UTC, datetime, timedelta

from google.cloud import aiplatform_v1 as v1

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import location_name
from banditloop.rl_core.backends.google.runner import LISTED_RUNS
from tests.ports.conftest import google


def test_the_newest_runs_are_listed_by_one_call_without_their_pipelines(tmp_path, own_vertex, monkeypatch):
    config, begin = google(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    backend = config.backend
    for number in range(3 * LISTED_RUNS):
        name = f"{location_name(backend)}/pipelineJobs/{backend.endpoint}-r{number}"
        own_vertex.jobs[name] = v1.PipelineJob(
            name=name,
            state=v1.PipelineState.PIPELINE_STATE_FAILED,
            error={"code": 9, "message": "The DAG failed."},
            labels={"banditloop": backend.endpoint if number != 299 else "another"},
            create_time=begin + timedelta(hours=number),
            pipeline_spec={"a pipeline": "x" * 100_000},
        )
    responses, answer = [], own_vertex.ListPipelineJobs
    monkeypatch.setattr(own_vertex, "_refreshed", lambda job: job)
    monkeypatch.setattr(own_vertex, "ListPipelineJobs", lambda *call: responses.append(answer(*call)) or responses[-1])
    runs = connect(config).runner.runs()
    assert [run.run_id for run in runs] == [f"r{number}" for number in range(199, 299)]
    assert runs[-1][1:3] == ("failed", begin + timedelta(hours=298))
    assert runs[-1].reason == "The DAG failed."
    [response] = responses
    assert len(v1.ListPipelineJobsResponse.serialize(response)) < 50_000
