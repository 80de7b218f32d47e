"""The predictor as a real server for every agent: requests, rewards, releases and Vertex AI's contract."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import pytest
import requests

from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.schema import REWARD, decision_schema
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.transitions import promote, start_canary
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.outbox_publisher import outbox_folder
from tests.conftest import AGENTS, deploy, make_config, make_policy, vector_task
from tests.support.processes import free_port, process, wait_until

DECISION = decision_schema(vector_task())


@pytest.fixture(scope="module", params=AGENTS, ids=[agent.name for agent in AGENTS])
def agent(request):
    return request.param


@pytest.fixture(scope="module")
def config(agent, tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("predictor"), agent=agent.model_dump())


@pytest.fixture(scope="module")
def platform(config) -> Platform:
    return connect(config)


@pytest.fixture(scope="module")
def policy(agent, platform, tmp_path_factory) -> SavedPolicy:
    folder = tmp_path_factory.mktemp("policy") / "policy"
    make_policy(folder, agent=agent)
    deploy(platform.endpoint, folder)
    return SavedPolicy.load(folder)


@pytest.fixture(scope="module")
def url(config, platform, policy):
    with process(config, "-m", "banditloop.functions.predictor"):
        wait_until(platform.endpoint.serving_versions)
        yield platform.endpoint.url()


def observations(rows, dim=20):
    return np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)


def serve_alone(platform, policy):
    promote(platform.endpoint, policy.manifest.version)
    wait_until(lambda: platform.endpoint.serving_versions() == [policy.manifest.version])


def logged(platform, expected):
    """The decisions on the bus, once all are published and there are `expected` of them."""
    tables, outbox = [], Outbox(outbox_folder(platform.scratch, "decisions"))

    def all_received():
        published = not outbox.pending_bytes()
        while platform.bus.deliver("decisions", lambda payloads: tables.extend(decode(DECISION, x) for x in payloads)):
            pass
        return published and sum(table.num_rows for table in tables) >= expected

    wait_until(all_received)
    return [row for table in tables for row in table.to_pylist()]


@pytest.mark.parametrize("rows", [1, 8, 512])
def test_every_instance_is_answered_and_logged_as_answered(url, platform, policy, rows):
    contexts = observations(rows)
    response = requests.post(f"{url}/predict", json={"instances": contexts.tolist()}, timeout=10)
    assert response.status_code == 200
    answers = response.json()["predictions"]
    assert len(answers) == rows
    assert len({answer["event_id"] for answer in answers}) == rows
    decisions = {row["event_id"]: row for row in logged(platform, rows)}
    probabilities = policy.probabilities(contexts)
    for row, answer in enumerate(answers):
        decision = decisions[answer["event_id"]]
        logged_answer = {key: decision[key] for key in ("event_id", "propensity", "policy_version")}
        assert answer == logged_answer | {"action": int(decision["action"])}
        assert (decision["policy_version"], decision["assignment_share"]) == (policy.manifest.version, 1.0)
        np.testing.assert_array_equal(np.float32(decision["context"]["observation"]), contexts[row])
        np.testing.assert_allclose(decision["probabilities"], probabilities[row], rtol=1e-12)
        assert decision["propensity"] == decision["probabilities"][int(decision["action"])]


def test_concurrent_requests_are_answered_and_logged_separately(url, platform, policy):
    """From 16 clients, so that most requests are decided in batches."""
    contexts = observations(800)

    def send(client):
        with requests.Session() as session:
            rows = range(client, 800, 16)
            bodies = [{"instances": [contexts[row].tolist()]} for row in rows]
            answers = [
                session.post(f"{url}/predict", json=body, timeout=10).json()["predictions"][0] for body in bodies
            ]
            return list(zip(rows, answers, strict=True))

    with ThreadPoolExecutor(16) as clients:
        answered = [pair for pairs in clients.map(send, range(16)) for pair in pairs]
    decisions = {row["event_id"]: row for row in logged(platform, 800)}
    probabilities = policy.probabilities(contexts)
    assert len(decisions) == 800
    for row, answer in answered:
        decision = decisions[answer["event_id"]]
        assert (decision["action"], decision["propensity"]) == (str(answer["action"]), answer["propensity"])
        np.testing.assert_array_equal(np.float32(decision["context"]["observation"]), contexts[row])
        np.testing.assert_allclose(decision["probabilities"], probabilities[row], rtol=1e-12)


def test_the_request_format_of_googles_sample_is_accepted(url, platform):
    contexts = observations(5).tolist()
    body = {"instances": [{"observation": contexts[:3]}, contexts[3], {"observation": contexts[4]}]}
    batch, single, named = requests.post(f"{url}/predict", json=body, timeout=10).json()["predictions"]
    assert len(batch["predicted_action"]) == len(batch["event_id"]) == len(batch["propensity"]) == 3
    assert batch["predicted_action"] == batch["action"]
    assert isinstance(single["action"], int)
    assert isinstance(named["action"], int)
    assert len(logged(platform, 5)) == 5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"instances": [[NaN]]}', "not JSON"),
        (b"[]", "instances is missing"),
        (b'{"instances": [[1]], "parameters": "0123456789abcdef"}', "parameters = '0123456789abcdef': give an object"),
        (b'{"instances": []}', "instances is missing or empty"),
        (b'{"instances": {}}', "instances is missing"),
        (b'{"instances": [[1, 2]]}', "observation 0 has 2 numbers: an observation is a list of 20 numbers"),
        (b'{"instances": ["a"]}', "observation 0 is 'a'"),
        (b'{"instances": [{"observation": []}]}', "observation 0 has 0 numbers"),
        (b'{"instances": [{"observation": [[]]}]}', "observation 0 has 0 numbers"),
        (b'{"instances": [{"item": 1}]}', "instance 0.item"),
        (b'{"instances": [{"user": "u"}]}', "instance 0: give a context, features by name, or an observation"),
        (b'{"instances": [{"user": 1}]}', "instance 0.user = 1: Input should be a valid string"),
        (orjson.dumps({"instances": [[*[0.0] * 19, "x"]]}), "number 19 is 'x'"),
        (
            orjson.dumps({"instances": [[0.0] * 20, [*[0.0] * 19, 1e300]]}),
            "observation 1: number 19 is 1e+300; it must be from -1e+06 to 1e+06",
        ),
        (orjson.dumps({"instances": [[*[0.0] * 19, 2**63]]}), "number 19 is 9"),
    ],
)
def test_a_bad_request_is_answered_400_and_logs_nothing(url, platform, body, message):
    response = requests.post(f"{url}/predict", data=body, timeout=10)
    assert response.status_code == 400
    assert message in response.json()["error"]
    requests.post(f"{url}/predict", json={"instances": observations(1).tolist()}, timeout=10)
    assert len(logged(platform, 1)) == 1  # only the good one


def test_releases_change_without_failed_requests_and_a_corrupt_version_is_not_served(url, platform, policy, tmp_path):
    manifest = make_policy(tmp_path / "policy", generation=2, seed=7)
    deploy(platform.endpoint, tmp_path / "policy")
    versions = []

    def send():
        response = requests.post(f"{url}/predict", json={"instances": observations(1).tolist()}, timeout=10)
        versions.append(response.json()["predictions"][0]["policy_version"])
        return versions[-1] == manifest.version

    wait_until(send)
    assert set(versions) <= {policy.manifest.version, manifest.version}
    start_canary(platform.endpoint, policy.manifest.version, 50, margin=0.0)
    wait_until(lambda: len(platform.endpoint.serving_versions()) == 2)
    versions.clear()
    for _ in range(200):
        send()
    assert 60 < versions.count(manifest.version) < 140
    make_policy(tmp_path / "policy", generation=3, seed=8)
    version = platform.endpoint.add(tmp_path / "policy")
    serve_alone(platform, policy)
    (platform.endpoint.policy(version) / "weights.npz").write_bytes(b"broken")
    promote(platform.endpoint, version)
    for _ in range(20):
        send()
    assert platform.endpoint.serving_versions() == [policy.manifest.version]
    serve_alone(platform, policy)
    logged(platform, 0)


def test_a_user_key_always_gets_the_same_version_and_the_canary_percent_the_challenger(
    url, platform, policy, challenger
):
    start_canary(platform.endpoint, challenger, 30, margin=0.0)
    wait_until(lambda: len(platform.endpoint.serving_versions()) == 2)
    users = [f"user-{number}" for number in range(400)]

    def versions():
        rows = zip(users, observations(400).tolist(), strict=True)
        body = {"instances": [{"observation": row, "user": user} for user, row in rows]}
        answers = requests.post(f"{url}/predict", json=body, timeout=10).json()["predictions"]
        return [answer["policy_version"] for answer in answers]

    first = versions()
    assert versions() == first
    assert 80 <= first.count(challenger) <= 160
    start_canary(platform.endpoint, challenger, 60, margin=0.0)
    wait_until(lambda: versions().count(challenger) > 180)
    still = {version for version, before in zip(versions(), first, strict=True) if before == challenger}
    assert still == {challenger}
    decisions = logged(platform, 1200)
    assert {row["mode"] for row in decisions} == {"online"}
    serve_alone(platform, policy)


def test_shadow_decisions_are_logged_and_not_returned(url, platform, policy, challenger):
    logged(platform, 0)
    start_canary(platform.endpoint, challenger, 0, margin=0.0)
    wait_until(lambda: len(platform.endpoint.serving_versions()) == 2)
    contexts = observations(30)
    answers = requests.post(f"{url}/predict", json={"instances": contexts.tolist()}, timeout=10).json()["predictions"]
    assert {answer["policy_version"] for answer in answers} == {policy.manifest.version}
    decisions = logged(platform, 60)
    modes = {(row["policy_version"], row["mode"]) for row in decisions}
    assert modes == {(policy.manifest.version, "online"), (challenger, "shadow")}
    assert len({row["event_id"] for row in decisions}) == 60
    shadow = SavedPolicy.load(platform.endpoint.policy(challenger))
    [vectors] = [[row["probabilities"] for row in decisions if row["mode"] == "shadow"]]
    np.testing.assert_allclose(vectors, shadow.probabilities(contexts), rtol=1e-12)
    serve_alone(platform, policy)


@pytest.fixture
def challenger(platform, tmp_path):
    make_policy(tmp_path / "challenger", generation=2, seed=7)
    return platform.endpoint.add(tmp_path / "challenger")


def test_a_retried_request_gets_the_same_decisions_which_are_logged_once(url, platform):
    body = {"instances": observations(4).tolist(), "parameters": {"request_id": "0123456789abcdef"}}
    first, retried = (requests.post(f"{url}/predict", json=body, timeout=10).json() for _ in range(2))
    assert first == retried
    ids = [prediction["event_id"] for prediction in first["predictions"]]
    assert sorted(row["event_id"] for row in logged(platform, 4) if row["event_id"] in ids) == sorted(ids)
    for bad_id in (1, "short", "long" * 20):
        body["parameters"]["request_id"] = bad_id
        assert requests.post(f"{url}/predict", json=body, timeout=10).status_code == 400


def test_an_id_names_its_content_also_after_a_restart(tmp_path):
    config = make_config(tmp_path)
    endpoint = connect(config).endpoint
    make_policy(tmp_path / "policy")
    deploy(endpoint, tmp_path / "policy")
    first, other = ([{"observation": row, "event_id": "e"}] for row in observations(2).tolist())
    by_request = {"parameters": {"request_id": "0123456789abcdef"}}
    bodies = [{"instances": first}, {"instances": first} | by_request, {"instances": observations(2).tolist()}]
    bodies[2] |= {"parameters": {"request_id": "fedcba9876543210"}}
    conflicts = [{"instances": other}, {"instances": other} | by_request, bodies[2] | {"instances": first}]

    def send_all():
        with process(config, "-m", "banditloop.functions.predictor"):
            wait_until(endpoint.serving_versions)
            url = f"{endpoint.url()}/predict"
            answers = [requests.post(url, json=body, timeout=10).json() for body in bodies]
            for body in conflicts:
                response = requests.post(url, json=body, timeout=10)
                assert (response.status_code, "was given before" in response.text) == (409, True)
        return answers

    answers = send_all()
    make_policy(tmp_path / "next", generation=2, seed=7)
    promote(endpoint, endpoint.add(tmp_path / "next"))
    assert send_all() == answers  # as decided before, though another version serves


@pytest.mark.parametrize(
    ("path", "body", "hint"),
    [
        ("/predict", {"instances": [[0.0] * 20], "request_id": "0123456789abcdef"}, "the keys are: instances, "),
        ("/predict", {"instances": [[0.0] * 20], "parameters": {"requestId": "0" * 16}}, "did you mean 'request_id'?"),
        (
            "/predict",
            {"instances": [[0.0] * 20], "parameters": {"request_id": "0" * 16, "user": "u"}},
            "the keys are: ",
        ),
        ("/reward", {"rewards": [{"event_id": "a", "value": 1}], "name": "click"}, "the keys are: rewards"),
        ("/activate", {"event_ids": ["a"], "rewards": []}, "the keys are: event_ids"),
    ],
)
def test_unknown_keys_around_the_events_are_refused(url, path, body, hint):
    response = requests.post(url + path, json=body, timeout=10)
    assert response.status_code == 400
    assert f": is unknown; {hint}" in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {"instances": [[0.0] * 20] * 10_001}),
        ("/predict", {"instances": [{"observation": [[0.0] * 20] * 10_001}]}),
        ("/reward", {"rewards": [{"event_id": "a", "value": 1}] * 10_001}),
        ("/activate", {"event_ids": ["a"] * 10_001}),
    ],
)
def test_events_of_a_request_are_limited(url, path, body):
    response = requests.post(url + path, json=body, timeout=30)
    assert response.status_code == 400
    assert "10,001" in response.json()["error"]
    assert "at most 10,000 are allowed" in response.json()["error"]


def test_rewards_are_accepted_over_http_and_reach_the_bus(url, platform):
    rewards = [{"event_id": "a", "value": 4}, {"event_id": "b", "value": 0.5, "name": "click", "source_id": "page"}]
    response = requests.post(f"{url}/reward", json={"rewards": rewards}, timeout=10)
    assert (response.status_code, response.json()) == (202, {"accepted": 2})
    tables = []
    wait_until(lambda: platform.bus.deliver("rewards", lambda p: tables.extend(decode(REWARD, x) for x in p)))
    first, second = tables[0].to_pylist()
    assert (first["event_id"], first["name"], first["value"], first["source_id"]) == ("a", "reward", 4.0, "")
    assert (second["name"], second["source_id"]) == ("click", "page")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", 'send {"rewards"'),
        (b'{"rewards": []}', 'send {"rewards"'),
        (b'{"rewards": [1]}', 'send {"rewards"'),
        (b'{"rewards": [{"value": 1}]}', "event.0.event_id: Field required"),
        (b'{"rewards": [{"event_id": "a", "value": "1"}]}', "event.0.value = '1'"),
        (b'{"rewards": [{"event_id": "a", "value": 1e9}]}', "event.0.value = 1000000000.0"),
        (b'{"rewards": [{"event_id": "a", "value": 1, "timestamp": "2026-01-01T00:00:00"}]}', "event.0.timestamp"),
        (b'{"rewards": [{"event_id": "a", "value": 1, "when": 1}]}', "event.0.when"),
        (
            b'{"rewards": [{"event_id": "a", "value": 1, "schema_version": 4}]}',
            "event.0.schema_version = 4: the newest supported is 3; omit it",
        ),
    ],
)
def test_a_bad_reward_is_answered_400_and_not_published(url, platform, body, message):
    response = requests.post(f"{url}/reward", data=body, timeout=10)
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert platform.bus.deliver("rewards", lambda payloads: None) == 0


def test_it_fulfils_the_contract_of_vertex_ai_custom_containers(tmp_path):
    """One policy in AIP_STORAGE_URI, routes and port from the environment, unhealthy until the policy exists."""
    port = free_port()
    contract = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": "/ping",
        "AIP_PREDICT_ROUTE": "/v1/models/m:predict",
        "AIP_STORAGE_URI": str(tmp_path / "policy"),
    }

    def send(path, **options):
        try:
            return requests.request(url=f"http://127.0.0.1:{port}{path}", timeout=5, **options)
        except requests.ConnectionError:
            return None

    with process(make_config(tmp_path), "-m", "banditloop.functions.predictor", **contract):
        wait_until(lambda: send("/ping", method="GET") is not None)
        assert send("/ping", method="GET").status_code == 503
        body = {"instances": observations(2).tolist()}
        assert send("/v1/models/m:predict", method="POST", json=body).status_code == 503
        make_policy(tmp_path / "made")
        (tmp_path / "made").rename(tmp_path / "policy")
        wait_until(lambda: send("/ping", method="GET").status_code == 200)
        assert len(send("/v1/models/m:predict", method="POST", json=body).json()["predictions"]) == 2
