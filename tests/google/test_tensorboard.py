"""Curves in Vertex AI TensorBoard, on a stand-in."""

from pathlib import PurePosixPath

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1 as v1
from google.cloud import storage

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import VERTEX_API
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput, PlatformError
from banditloop.rl_core.training.on_policy import simulate
from tests.conftest import make_config
from tests.ports.conftest import _emulators
from tests.support.tensorboards import BLOBS, TensorBoards

NAME = "projects/123/locations/us-central1/tensorboards/456"
IMAGE = f"example.com/banditloop@sha256:{0:064}"
LINEAR = {"name": "linear", "dim": 3, "actions": 3, "contexts": 50}


@pytest.fixture
def tensorboards(monkeypatch):
    stand_in = TensorBoards(NAME)
    monkeypatch.setenv(VERTEX_API, stand_in.address)
    yield stand_in
    stand_in.server.stop(None)


def config(folder, tensorboard=NAME) -> Config:
    backend = {"name": "google", "project": "a-project", "bucket": "bucket", "image": IMAGE, "endpoint": "news"}
    sections = {"environment": LINEAR, "on_policy": {"training_loops": 2500, "batch_size": 2}}
    return make_config(folder, backend=backend | {"tensorboard": tensorboard}, **sections)


def test_the_curve_of_a_run_is_shown_once_however_often_it_is_tried(tmp_path, tensorboards):
    settings = config(tmp_path)
    curve = simulate(settings)
    platform = connect(settings)
    for faults in ([], [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE]):
        tensorboards.faults += faults
        page = platform.show_scalars("on_policy-v1", curve.scalars())
    experiment = f"{NAME}/experiments/news"
    assert page == f"https://us-central1.tensorboard.googleusercontent.com/experiment/{experiment.replace('/', '+')}"
    series = {name.rpartition("/")[2]: points for name, points in tensorboards.points.items()}
    assert all(name.startswith(f"{experiment}/runs/on-policy-v1/timeSeries/") for name in tensorboards.points)
    assert set(series) == {"metrics-averagereturn", "metrics-regretmetric", "metrics-numberofepisodes"}
    assert series["metrics-regretmetric"] == [(loop.interactions, loop.regret) for loop in curve.loops]
    assert len(tensorboards.resources) == 1 + 1 + 1 + 3


def test_a_trace_of_the_profiler_is_shown_as_by_googles_own_uploader(tmp_path, tensorboards, monkeypatch):
    from google.cloud.aiplatform.tensorboard.plugins.tf_profiler import profile_uploader
    from google.cloud.aiplatform.tensorboard.upload_tracker import UploadTracker
    from google.cloud.aiplatform.tensorboard.uploader_utils import RateLimiter

    import banditloop.rl_core.tf  # noqa: F401, before the uploader imports TensorFlow

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _emulators()["STORAGE_EMULATOR_HOST"])
    session = "2026_11_27_10_20_30"
    trace = tmp_path / "logs" / "plugins" / "profile" / session / "host.xplane.pb"
    trace.parent.mkdir(parents=True)
    trace.write_bytes(b"a trace")
    name, _, folder = BLOBS.partition("/")
    bucket = storage.Client("a-project", AnonymousCredentials()).create_bucket(name)
    for _ in range(2):
        connect(config(tmp_path)).show_scalars("run", {"a": [(1, 2.0)]}, tmp_path / "logs")
    [ours], [blob] = tensorboards.files, bucket.list_blobs()
    assert blob.download_as_bytes() == b"a trace"

    transport = v1.TensorboardServiceClient.get_transport_class("grpc")
    client = v1.TensorboardServiceClient(transport=transport(channel=grpc.insecure_channel(tensorboards.address)))
    unlimited = {"rpc_rate_limiter": RateLimiter(0), "max_blob_request_size": 1e9, "max_blob_size": 1e9}
    run = str(PurePosixPath(ours).parents[1])
    to = {"blob_storage_bucket": bucket, "blob_storage_folder": folder, "tracker": UploadTracker(verbosity=0)}
    sender = profile_uploader._FileRequestSender(run, client, **unlimited, **to)
    sender.add_files([str(trace)], session, "profile", None)
    [theirs] = tensorboards.files.keys() - {ours}
    assert tensorboards.files[ours] == tensorboards.files[theirs] == ["host.xplane.pb"]
    assert tensorboards.kinds[ours] == tensorboards.kinds[theirs]
    [copy] = {other.name for other in bucket.list_blobs()} - {blob.name}
    theirs_id, ours_id = (series.rpartition("/")[2] for series in (theirs, ours))
    assert blob.name == copy.replace(f"/{theirs_id}/", f"/{ours_id}/")


def test_a_tensorboard_that_is_not_there_is_reported_in_one_line(tmp_path, tensorboards):
    missing = NAME.replace("456", "457")
    with pytest.raises(PlatformError, match=f"{missing} not found"):
        connect(config(tmp_path, missing)).show_scalars("run", {"a": [(1, 2.0)]})


def test_without_one_nothing_is_shown(tmp_path):
    assert connect(config(tmp_path, "")).show_scalars("run", {"a": [(1, 2.0)]}) == ""
    with pytest.raises(InvalidInput, match=r"backend\.tensorboard = 'mine'"):
        config(tmp_path, "mine")
