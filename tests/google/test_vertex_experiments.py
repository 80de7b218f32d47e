"""Runs recorded in Vertex AI Experiments, on a stand-in, as Google's own SDK reads them."""

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
from google.cloud import aiplatform_v1 as v1
from google.cloud.aiplatform.base import VertexAiResourceNoun

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import VERTEX_API
from banditloop.rl_core.ports import ExperimentRun, Trial
from banditloop.rl_core.tuning.trials import runs_of
from tests.conftest import make_config
from tests.support.stand_ins import listen
from tests.support.vertex_metadata import Metadata

GOOGLE = {"name": "google", "project": "a-project", "bucket": "bucket", "endpoint": "news"}
IMAGE = f"example.com/banditloop@sha256:{0:064}"
TRIALS = [
    Trial(3, {"agent.name": "linucb", "agent.alpha": 0.5}, "complete", 0.62, 0.01, 5),
    Trial(1, {"agent.hidden_units": [32, 32]}, "failed", None, None, None),
]


class Experiments(Metadata):
    def __init__(self) -> None:
        super().__init__()
        self.faults: list[grpc.StatusCode] = []
        self.server, self.address = listen(self, [("google.cloud.aiplatform.v1.MetadataService", v1)])

    def on_call(self, name: str, context) -> None: ...


@pytest.fixture
def experiments(monkeypatch):
    stand_in = Experiments()
    monkeypatch.setenv(VERTEX_API, stand_in.address)
    yield stand_in
    stand_in.server.stop(None)


@pytest.mark.parametrize("faults", [[], [grpc.StatusCode.UNAVAILABLE] * 6])
def test_googles_sdk_finds_the_trials_with_parameters_and_metrics_however_often_they_are_recorded(
    experiments, tmp_path, monkeypatch, faults
):
    platform = connect(make_config(tmp_path, backend=GOOGLE | {"image": IMAGE}))
    experiments.faults += faults
    for value in (0.5, 0.62):  # the second time they are those of a later look
        trials = [TRIALS[0]._replace(value=value), *TRIALS[1:]]
        page = platform.record_runs("tuning", runs_of(trials, "tuning-v7"))
    assert page == (
        "https://console.cloud.google.com/vertex-ai/experiments/locations/us-central1/experiments/news-tuning"
        "?project=a-project"
    )
    channel = grpc.insecure_channel(experiments.address)
    client = v1.MetadataServiceClient(transport=v1.MetadataServiceClient.get_transport_class("grpc")(channel=channel))
    monkeypatch.setattr(VertexAiResourceNoun, "_instantiate_client", lambda *arguments, **named: client)
    where = {"project": "a-project", "location": "us-central1", "credentials": AnonymousCredentials()}
    runs = aiplatform.ExperimentRun.list(experiment="news-tuning", **where)
    assert {run.name for run in runs} == {"tuning-v7-trial-3", "tuning-v7-trial-1"}
    best, failed = (next(run for run in runs if run.name.endswith(end)) for end in ("3", "1"))
    assert best.get_params() == {"agent.name": "linucb", "agent.alpha": 0.5}
    assert best.get_metrics() == {"value": 0.62, "standard_error": 0.01, "seeds": 5}
    assert (best.state, failed.state) == (v1.Execution.State.COMPLETE, v1.Execution.State.FAILED)
    assert (failed.get_params(), failed.get_metrics()) == ({"agent.hidden_units": "[32, 32]"}, {})


def test_only_pipelines_of_vertex_ai_have_experiments_there(tmp_path):
    runs = [ExperimentRun("a", {}, {"value": 1.0})]
    kubeflow = GOOGLE | {"image": IMAGE, "runner": "kfp", "kfp_host": "http://localhost:1"}
    for backend in (kubeflow, {"name": "local", "root": str(tmp_path / "loop")}):
        assert connect(make_config(tmp_path, backend=backend)).record_runs("tuning", runs) == ""
