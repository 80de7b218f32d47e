"""The predictor as a real server, spoken to over HTTP as Vertex AI and Google's sample do, for every agent."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import pytest
import requests

from rl_core.backends import Platform, connect
from rl_core.backends.releasing import challenge, promote
from rl_core.policy import SavedPolicy
from rl_core.schema import DECISION, REWARD, decode
from tests.conftest import AGENTS, deploy, make_config, make_policy
from tests.processes import free_port, process, wait_until


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
    with process(config, "-m", "functions.predictor"):
        wait_until(platform.endpoint.serving)
        yield platform.endpoint.url()


def observations(rows, dim=20):
    return np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)


def logged(platform, expected):
    """The decisions that reached the bus."""
    tables = []

    def all_there():
        platform.bus.deliver("decisions", lambda payloads: tables.extend(decode(DECISION, x) for x in payloads))
        return sum(table.num_rows for table in tables) >= expected

    wait_until(all_there)
    return [row for table in tables for row in table.to_pylist()]


@pytest.mark.parametrize("rows", [1, 8, 512])
def test_every_instance_is_answered_and_logged_as_answered(url, platform, policy, rows):
    asked = observations(rows)
    response = requests.post(f"{url}/predict", json={"instances": asked.tolist()}, timeout=10)
    assert response.status_code == 200
    answers = response.json()["predictions"]
    assert len(answers) == rows
    assert len({answer["event_id"] for answer in answers}) == rows
    decisions = {row["event_id"]: row for row in logged(platform, rows)}
    probabilities = policy.probabilities(asked)
    for row, answer in enumerate(answers):
        decision = decisions[answer["event_id"]]
        assert answer == {key: decision[key] for key in ("event_id", "action", "propensity", "policy_version")}
        assert decision["policy_version"] == policy.manifest.version
        np.testing.assert_array_equal(np.float32(decision["observation"]), asked[row])
        np.testing.assert_allclose(decision["probabilities"], probabilities[row], rtol=1e-12)
        assert decision["propensity"] == decision["probabilities"][decision["action"]]


def test_requests_that_come_together_are_answered_and_logged_each_as_its_own(url, platform, policy):
    """From sixteen clients, so that most are decided in batches."""
    asked = observations(800)

    def ask(client):
        with requests.Session() as session:
            rows = range(client, 800, 16)
            bodies = [{"instances": [asked[row].tolist()]} for row in rows]
            answers = [
                session.post(f"{url}/predict", json=body, timeout=10).json()["predictions"][0] for body in bodies
            ]
            return list(zip(rows, answers, strict=True))

    with ThreadPoolExecutor(16) as clients:
        answered = [pair for found in clients.map(ask, range(16)) for pair in found]
    decisions = {row["event_id"]: row for row in logged(platform, 800)}
    probabilities = policy.probabilities(asked)
    assert len(decisions) == 800
    for row, answer in answered:
        decision = decisions[answer["event_id"]]
        assert (decision["action"], decision["propensity"]) == (answer["action"], answer["propensity"])
        np.testing.assert_array_equal(np.float32(decision["observation"]), asked[row])
        np.testing.assert_allclose(decision["probabilities"], probabilities[row], rtol=1e-12)


def test_the_request_form_of_googles_sample_is_understood(url, platform):
    asked = observations(5).tolist()
    body = {"instances": [{"observation": asked[:3]}, asked[3], {"observation": asked[4]}]}
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
        (b'{"instances": [{"user": "u"}]}', "observation 0 is None"),
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
    assert len(logged(platform, 1)) == 1  # the good one alone


def test_traffic_moves_without_a_failed_request_and_a_corrupt_version_is_not_served(url, platform, policy, tmp_path):
    manifest = make_policy(tmp_path / "policy", generation=2, seed=7)
    deploy(platform.endpoint, tmp_path / "policy")
    seen = []

    def ask():
        response = requests.post(f"{url}/predict", json={"instances": observations(1).tolist()}, timeout=10)
        seen.append(response.json()["predictions"][0]["policy_version"])
        return seen[-1] == manifest.version

    wait_until(ask)
    assert set(seen) <= {policy.manifest.version, manifest.version}
    challenge(platform.endpoint, policy.manifest.version, 50, margin=0.0)
    wait_until(lambda: len(platform.endpoint.serving()) == 2)
    seen.clear()
    for _ in range(200):
        ask()
    assert 60 < seen.count(manifest.version) < 140
    make_policy(tmp_path / "policy", generation=3, seed=8)
    version = platform.endpoint.add(tmp_path / "policy")
    promote(platform.endpoint, policy.manifest.version)
    wait_until(lambda: platform.endpoint.serving() == [policy.manifest.version])
    (platform.endpoint.policy(version) / "weights.npz").write_bytes(b"broken")
    promote(platform.endpoint, version)
    for _ in range(20):
        ask()
    assert platform.endpoint.serving() == [policy.manifest.version]
    promote(platform.endpoint, policy.manifest.version)
    logged(platform, 0)


def test_a_user_with_a_key_always_meets_the_same_version_and_a_share_of_them_the_challenger(
    url, platform, policy, challenger
):
    challenge(platform.endpoint, challenger, 30, margin=0.0)
    wait_until(lambda: len(platform.endpoint.serving()) == 2)
    users = [f"user-{number}" for number in range(400)]

    def versions():
        rows = zip(users, observations(400).tolist(), strict=True)
        body = {"instances": [{"observation": row, "user": user} for user, row in rows]}
        answers = requests.post(f"{url}/predict", json=body, timeout=10).json()["predictions"]
        return [answer["policy_version"] for answer in answers]

    first = versions()
    assert versions() == first
    assert 80 <= first.count(challenger) <= 160
    challenge(platform.endpoint, challenger, 60, margin=0.0)
    wait_until(lambda: versions().count(challenger) > 180)
    assert {v for v, before in zip(versions(), first, strict=True) if before == challenger} == {challenger}  # they stay
    decisions = logged(platform, 1200)
    assert {row["mode"] for row in decisions} == {"online"}
    promote(platform.endpoint, policy.manifest.version)


def test_a_shadow_decides_and_is_logged_and_nobody_sees_it(url, platform, policy, challenger):
    logged(platform, 0)
    challenge(platform.endpoint, challenger, 0, margin=0.0)
    wait_until(lambda: len(platform.endpoint.serving()) == 2)
    asked = observations(30)
    answers = requests.post(f"{url}/predict", json={"instances": asked.tolist()}, timeout=10).json()["predictions"]
    assert {answer["policy_version"] for answer in answers} == {policy.manifest.version}
    decisions = logged(platform, 60)
    modes = {(row["policy_version"], row["mode"]) for row in decisions}
    assert modes == {(policy.manifest.version, "online"), (challenger, "shadow")}
    assert len({row["event_id"] for row in decisions}) == 60
    shadow = SavedPolicy.load(platform.endpoint.policy(challenger))
    [vectors] = [[row["probabilities"] for row in decisions if row["mode"] == "shadow"]]
    np.testing.assert_allclose(vectors, shadow.probabilities(asked), rtol=1e-12)
    promote(platform.endpoint, policy.manifest.version)


@pytest.fixture
def challenger(platform, tmp_path):
    make_policy(tmp_path / "challenger", generation=2, seed=7)
    return platform.endpoint.add(tmp_path / "challenger")


def test_a_request_asked_again_gets_the_same_decisions_which_count_once(url, platform):
    body = {"instances": observations(4).tolist(), "parameters": {"request_id": "0123456789abcdef"}}
    first, again = (requests.post(f"{url}/predict", json=body, timeout=10).json() for _ in range(2))
    assert first == again
    ids = [prediction["event_id"] for prediction in first["predictions"]]
    assert sorted(row["event_id"] for row in logged(platform, 4) if row["event_id"] in ids) == sorted(ids)
    for wrong in (1, "short", "long" * 20):
        body["parameters"]["request_id"] = wrong
        assert requests.post(f"{url}/predict", json=body, timeout=10).status_code == 400


def test_rewards_are_taken_over_http_and_reach_the_bus(url, platform):
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
    ],
)
def test_a_bad_reward_is_answered_400_and_goes_nowhere(url, platform, body, message):
    response = requests.post(f"{url}/reward", data=body, timeout=10)
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert platform.bus.deliver("rewards", lambda payloads: None) == 0


def test_it_speaks_the_contract_of_vertex_ais_custom_containers(tmp_path):
    """One policy in AIP_STORAGE_URI, routes and port of the environment, unhealthy until the policy is there."""
    port = free_port()
    contract = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": "/ping",
        "AIP_PREDICT_ROUTE": "/v1/models/m:predict",
        "AIP_STORAGE_URI": str(tmp_path / "policy"),
    }

    def ask(path, **options):
        try:
            return requests.request(url=f"http://127.0.0.1:{port}{path}", timeout=5, **options)
        except requests.ConnectionError:
            return None

    with process(make_config(tmp_path), "-m", "functions.predictor", **contract):
        wait_until(lambda: ask("/ping", method="GET") is not None)
        assert ask("/ping", method="GET").status_code == 503
        body = {"instances": observations(2).tolist()}
        assert ask("/v1/models/m:predict", method="POST", json=body).status_code == 503
        make_policy(tmp_path / "made")
        (tmp_path / "made").rename(tmp_path / "policy")
        wait_until(lambda: ask("/ping", method="GET").status_code == 200)
        assert len(ask("/v1/models/m:predict", method="POST", json=body).json()["predictions"]) == 2
