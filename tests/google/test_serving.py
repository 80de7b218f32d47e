"""Serving on Vertex AI: one container that follows the release, or a deployment per version; what cannot start."""

import numpy as np
import pytest
from google.cloud.aiplatform_v1 import PredictionServiceClient

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google import deployment, model_registry, release_deployments
from banditloop.rl_core.backends.google.clients import vertex_client
from banditloop.rl_core.errors import InvalidInput, PlatformError
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.schema import event_schema
from banditloop.rl_core.policies.release import Release
from banditloop.rl_core.promotion.transitions import promote
from tests.conftest import make_policy
from tests.ports.conftest import google
from tests.ports.test_endpoint import TestEndpoint
from tests.support.processes import wait_until

INSTANCES = [{"observation": [0.1] * 20, "user": f"u{number}"} for number in range(60)]
BROKEN = ["python", "-c", "raise SystemExit(1)"]


def add(platform, folder, generation: int) -> str:
    make_policy(folder / "policy", generation)
    return platform.endpoint.add(folder / "policy")


def follow(platform, before: Release | None, release: Release) -> None:
    """Replace the release, and wait until the container serves it."""
    assert platform.endpoint.set_release(before, release)
    wait_until(lambda: set(platform.endpoint.serving_versions()) == set(release.traffic()))


def logged(config, platform, rows: int) -> list[dict]:
    """The decisions on the bus, once there are as many; the bus delivers at least once."""
    schema, events = event_schema("decisions", config.task), {}

    def receive(payloads: list[bytes]) -> None:
        received = (row for payload in payloads for row in decode(schema, payload).to_pylist())
        events.update({(row["event_id"], row["mode"]): row for row in received})

    def all_received() -> bool:
        platform.bus.deliver("decisions", receive)
        return len(events) >= rows

    wait_until(all_received)
    return list(events.values())


def test_one_container_follows_the_release(tmp_path, own_vertex):
    """Users keep their version, shares are known, shadows are logged; a promotion deploys nothing."""
    config = google(tmp_path)
    platform = connect(config)
    first, second, third = (add(platform, tmp_path, generation) for generation in (1, 2, 3))
    platform.bus.deliver("decisions", lambda payloads: None)  # its subscription exists before the first message
    canary = Release(champion=first, challenger=second, challenger_percent=40)
    follow(platform, None, canary)
    visits = [[decision.policy_version for decision in platform.endpoint.predict(INSTANCES)] for _ in range(2)]
    assert visits[0] == visits[1]
    assert set(visits[0]) == {first, second}
    shadow = Release(champion=second, challenger=third)
    follow(platform, canary, shadow)
    assert {decision.policy_version for decision in platform.endpoint.predict(INSTANCES)} == {second}
    assert own_vertex.deployments == 1
    events = logged(config, platform, 4 * len(INSTANCES))
    shares = {(e["policy_version"], e["assignment_share"]) for e in events if e["mode"] == "online"}
    assert shares == {(first, 0.6), (second, 0.4), (second, 1.0)}
    assert sum(e["mode"] == "shadow" and e["policy_version"] == third for e in events) == len(INSTANCES)
    assert platform.endpoint.vitals().keys() == {second, third}


def test_the_sdks_predict_takes_a_batch_of_observations_in_an_instance(tmp_path, own_vertex):
    """As the simulator of Google's TF-Agents sample sends it; every number of the answer is a double."""
    config, batch = google(tmp_path), np.random.default_rng(0).normal(size=(8, 20))
    platform = connect(config)
    platform.bus.deliver("decisions", lambda payloads: None)  # its subscription exists before the first message
    follow(platform, None, Release(champion=add(platform, tmp_path, 1)))
    [endpoint] = own_vertex.endpoints
    client = vertex_client(config.backend, PredictionServiceClient)
    answer = client.predict(endpoint=endpoint, instances=[{"observation": batch.tolist()}])
    assert answer.deployed_model_id in own_vertex.serving
    [prediction] = answer.predictions
    decisions = {event["event_id"]: event for event in logged(config, platform, 8)}
    in_order = [decisions[event_id] for event_id in prediction["event_id"]]
    assert list(prediction["predicted_action"]) == [float(event["action"]) for event in in_order]
    assert list(prediction["propensity"]) == [event["propensity"] for event in in_order]
    contexts = np.array([event["context"]["observation"] for event in in_order], np.float32)
    np.testing.assert_array_equal(contexts, batch.astype(np.float32))


def test_every_policy_is_a_model_version_until_it_is_removed(tmp_path, own_vertex):
    config = google(tmp_path)
    endpoint, name = connect(config).endpoint, config.backend.endpoint
    versions = [add(connect(config), tmp_path, generation) for generation in (1, 2, 1)]
    [models] = own_vertex.models.values()
    assert [list(model.version_aliases) for model in models] == [[versions[0]], [versions[1], "default"]]
    assert models[0].artifact_uri == f"gs://{config.backend.bucket}/{name}/versions/{versions[0]}"
    endpoint.remove(versions[0])
    endpoint.remove(versions[0])
    [models] = own_vertex.models.values()
    assert [model.version_id for model in models] == ["2"]


def test_a_container_that_cannot_start_is_deployed_once(tmp_path, own_vertex, monkeypatch):
    platform = connect(google(tmp_path))
    version = add(platform, tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(model_registry, "COMMAND", BROKEN)
        with pytest.raises(PlatformError, match=r"^server-\w+: Vertex AI could not start it: Model server exited"):
            platform.endpoint.set_release(None, Release(champion=version))
        for _ in range(3):  # every look at the release
            with pytest.raises(PlatformError, match="run `banditloop cloud up`"):
                platform.endpoint.set_release(Release(champion=version), Release(champion=version))
        assert own_vertex.deployments == 1
    own_vertex.models.clear()
    platform.endpoint.reconcile()  # cloud up, after the cause was mended
    assert own_vertex.deployments == 2
    assert platform.endpoint.predict(INSTANCES[:1])[0].policy_version == version


@pytest.mark.parametrize("never_ends", [False, True])
def test_a_version_that_cannot_start_is_rolled_back_once(tmp_path, own_vertex, monkeypatch, never_ends):
    platform = connect(google(tmp_path, backend={"split": "vertex"}))
    endpoint = platform.endpoint
    first, second = (add(platform, tmp_path, generation) for generation in (1, 2))
    endpoint.set_release(None, Release(champion=first))
    with monkeypatch.context() as patch:
        own_vertex.never_ends = never_ends
        patch.setattr(deployment, "DEPLOY_SECONDS", 2.0)
        own_vertex.models[next(iter(own_vertex.models))][-1].container_spec.command = BROKEN
        message = "it is not done after 2 s" if never_ends else "Model server exited unexpectedly"
        with pytest.raises(PlatformError, match=rf"^{second}: Vertex AI could not start it: {message}"):
            promote(endpoint, second)
    [verdict] = endpoint.verdicts()
    assert (verdict.version, verdict.decision, verdict.by) == (second, "rollback", "platform")
    assert message in verdict.reason
    assert endpoint.release() == Release(champion=first)
    own_vertex.operations.clear()
    for _ in range(3):
        with pytest.raises(PlatformError, match="run `banditloop cloud up`"):
            promote(endpoint, second)
        assert endpoint.release() == Release(champion=first)
    assert own_vertex.deployments == 2
    assert endpoint.serving_versions() == [first]


def test_a_deployment_waits_for_another_operation_on_the_endpoint(tmp_path, own_vertex, monkeypatch):
    config = google(tmp_path)
    platform, waits = connect(config), []
    version = add(platform, tmp_path, 1)
    own_vertex.begin(f"projects/{config.backend.project}/locations/us-central1/endpoints/1")

    def end(request, context):
        waits.append(request.name)
        answer = type(own_vertex).ListOperations(own_vertex, request, context)
        own_vertex.operations.clear()
        return answer

    monkeypatch.setattr(own_vertex, "ListOperations", end)
    platform.endpoint.set_release(None, Release(champion=version))
    assert len(waits) == 1
    assert own_vertex.deployments == 1


def test_requests_that_vertex_ai_would_cut_off_are_refused(tmp_path, own_vertex):
    platform = connect(google(tmp_path))
    platform.endpoint.set_release(None, Release(champion=add(platform, tmp_path, 1)))
    many = [{"observation": [0.123456789] * 20}] * 10_000
    with pytest.raises(InvalidInput, match=r"bytes, and Vertex AI lets 1,500,000 through; .*dedicated_endpoint = true"):
        platform.endpoint.predict(many)
    [endpoint] = own_vertex.endpoints.values()
    assert not endpoint.dedicated_endpoint_enabled


def test_a_dedicated_endpoint_takes_larger_requests(tmp_path, own_vertex):
    platform = connect(google(tmp_path, backend={"dedicated_endpoint": True}))
    platform.endpoint.set_release(None, Release(champion=add(platform, tmp_path, 1)))
    assert len(platform.endpoint.predict([{"observation": [0.123456789] * 20}] * 9_000)) == 9_000


def test_what_does_not_concern_serving_deploys_nothing_again(tmp_path):
    def server(**sections) -> str:
        config = google(tmp_path, **sections)
        return release_deployments.server_name(config, config.backend)

    assert server() == server(retraining={"min_new_interactions": 7}, gate={"alpha": 0.01}, agent={"alpha": 2.0})
    assert server() != server(backend={"serving_machine_type": "n1-standard-8"})
    assert server() != server(logging={"sample_rate": 0.5})


class TestVertexSplit(TestEndpoint):
    """The contract of the endpoint where Vertex AI splits the traffic."""

    @pytest.fixture
    def configure(self, tmp_path):
        return lambda **sections: google(tmp_path, backend={"split": "vertex"}, **sections)

    @pytest.fixture
    def pace(self) -> float:
        return 20.0


del TestEndpoint  # it runs where it is defined
