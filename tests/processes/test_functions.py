"""The functions as CloudEvent functions; the logger, the simulator and their events."""

import base64
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import orjson
import pyarrow as pa
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from banditloop.functions.logger import log_events, logger
from banditloop.functions.simulator import Visit, simulate, simulator
from banditloop.rl_core import cloud_events
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.history import chosen_actions, simulated_history
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.settings.secrets import TOKEN
from banditloop.rl_core.training.train import contexts
from tests.conftest import deploy, make_config, make_policy, rewards, vector_decisions
from tests.support.processes import free_port, process, wait_until
from tests.support.sequential_agents import Idle


@pytest.mark.parametrize("name", ["logger", "simulator", "trigger", "monitor"])
def test_functions_framework_runs_the_function_unchanged(name, config, tmp_path):
    platform = connect(config)
    make_policy(tmp_path / "policy")
    port = free_port()
    command = ("-m", "functions_framework", "--target", name, "--source", f"functions/{name}.py")
    options = ("--signature-type", "cloudevent", "--port", str(port), "--host", "127.0.0.1")
    payloads = {"simulator": b'{"users": 3, "seed": 1}'}
    platform.bus.publish("decisions", encode(vector_decisions(["a"])))
    with process(config, *command, *options), process(config, "-m", "banditloop.functions.predictor"):
        deploy(platform.endpoint, tmp_path / "policy")
        wait_until(platform.endpoint.serving_versions)

        def post():
            try:
                headers = {
                    "ce-id": "1",
                    "ce-specversion": "1.0",
                    "ce-type": cloud_events.MESSAGE_PUBLISHED,
                    "ce-source": "//pubsub.googleapis.com/projects/p/topics/log-ticks",
                }
                message = {"message": {"data": base64.b64encode(payloads.get(name, b"")).decode()}}
                return requests.post(f"http://127.0.0.1:{port}/", json=message, headers=headers, timeout=30)
            except requests.ConnectionError:
                return None

        wait_until(lambda: (response := post()) is not None and response.status_code == 200)
    if name == "logger":
        assert [row["interactions"] for row in platform.warehouse.policy_totals()] == [1]
    if name == "simulator":
        received = []
        platform.bus.deliver("rewards", received.extend)
        assert len(orjson.loads(received[0])) == 3


def test_an_event_of_another_shape_is_refused():
    event = cloud_events.wrap("decisions", b"payload")
    assert (cloud_events.topic(event), cloud_events.payload(event)) == ("decisions", b"payload")
    with pytest.raises(InvalidInput, match="pushes its messages"):
        logger(event)  # or Pub/Sub would take it as logged
    for body in (None, {}, {"message": {}}, {"message": {"data": "not base64!"}}):
        event.data = body
        with pytest.raises(InvalidInput, match=r"message\.data"):
            cloud_events.payload(event)


@settings(max_examples=5)
@given(st.randoms(use_true_random=False))
@pytest.mark.slow
def test_events_delivered_twice_and_shuffled_are_stored_once(tmp_path_factory, shuffler):
    config = make_config(tmp_path_factory.mktemp("twice"))
    platform = connect(config)
    ids = [f"event-{i}" for i in range(60)]
    parts = [ids[i : i + 7] for i in range(0, 60, 7)]
    messages = [("decisions", encode(vector_decisions(part))) for part in parts]
    messages += [("rewards", encode(rewards(part, float(len(part))))) for part in parts]
    messages *= 2
    shuffler.shuffle(messages)
    for topic, payload in messages:
        platform.bus.publish(topic, payload)
        if shuffler.random() < 0.3:
            drain(config, platform)
    drain(config, platform)
    window = platform.warehouse.window(None)
    table = pa.Table.from_batches(platform.warehouse.interactions(window), interaction_schema(config.task))
    assert sorted(table["event_id"].to_pylist()) == sorted(ids)
    lengths = {event_id: float(len(part)) for part in parts for event_id in part}
    assert dict(zip(table["event_id"].to_pylist(), table["reward"].to_pylist(), strict=True)) == lengths


def drain(config, platform):
    for topic in ("decisions", "rewards"):
        while platform.bus.deliver(topic, partial(log_events, config.task, platform, topic)):
            pass


def test_a_poison_message_becomes_a_dead_letter_and_the_others_are_logged(config):
    platform = connect(config)
    for payload in (encode(vector_decisions(["a"])), b'[{"event_id": 1}]', encode(vector_decisions(["b"]))):
        platform.bus.publish("decisions", payload)
    drain(config, platform)
    [(reason, payload)] = platform.bus.dead_letters("decisions")
    assert reason.startswith("event.0.event_id = 1: Input should be a valid string")
    assert payload == b'[{"event_id": 1}]'
    assert [row["interactions"] for row in platform.warehouse.policy_totals()] == [2]


@pytest.mark.parametrize(("setting", "dim"), [("classic", 20), ("held_out", 24)])
def test_logged_rewards_match_their_contexts_and_actions(setting, dim, tmp_path):
    """Over real HTTP, bus and warehouse, for the rewards of the simulator and of the generator."""
    config = make_config(tmp_path, environment={"setting": setting})
    environment, platform = config.environment, connect(config)
    make_policy(tmp_path / "policy", dim=dim)
    version = deploy(platform.endpoint, tmp_path / "policy")
    with process(config, "-m", "banditloop.functions.predictor"), process(config, "-m", "banditloop.functions.logger"):
        wait_until(platform.endpoint.serving_versions)
        for seed in range(4):
            simulate(config, platform, Visit(users=50, seed=seed))
        wait_until(lambda: sum(row["rewarded"] for row in platform.warehouse.policy_totals()) == 200)
    for decision_events, reward_events in simulated_history(environment, 100, "reward", seed=0):
        platform.warehouse.append("rewards", reward_events)
        platform.warehouse.append("decisions", decision_events)
    batches = platform.warehouse.interactions(platform.warehouse.window(None))
    table = pa.Table.from_batches(batches, interaction_schema(config.task))
    assert table.num_rows == 300
    policy, actions = SavedPolicy.load(tmp_path / "policy"), chosen_actions(config.task, table["action"].to_pylist())
    observations = policy.observations(contexts(table))
    expected = environment.reward({"observation": observations}, actions, table["event_id"].to_pylist())
    np.testing.assert_array_equal(table["reward"].to_numpy(), config.task.rewards.clip(expected))
    # and the propensities are those of the serving policy
    online = np.array(table["policy_version"].to_pylist()) == version
    chosen = policy.probabilities(observations[online])[np.arange(online.sum()), actions[online]]
    np.testing.assert_allclose(table["propensity"].to_numpy()[online], chosen, rtol=1e-12)


def test_a_visit_plays_episodes_against_the_endpoint(tmp_path):
    """Every step is logged with its episode, its propensity and the reward that came for it."""
    values = {"environment": {"name": "cartpole", "max_steps": 12}, "agent": {"name": f"{Idle.__module__}:Idle"}}
    values |= {"backend": {"root": str(tmp_path / "loop")}, "reward": {"attribution_window_seconds": 3600.0}}
    config = Config.parse(values)
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    with process(config, "-m", "banditloop.functions.predictor"):
        wait_until(platform.endpoint.serving_versions)
        visited = simulate(config, platform, Visit(users=5, seed=0))

        def rewarded():
            drain(config, platform)
            return sum(row["rewarded"] for row in platform.warehouse.policy_totals())

        wait_until(lambda: rewarded() == visited.decisions)
    later = datetime.now(UTC) + timedelta(hours=1)
    batches = platform.warehouse.interactions(Window(until=later, interactions=0))
    rows = sorted(pa.Table.from_batches(batches).to_pylist(), key=lambda row: (row["episode_id"], row["step"]))
    lengths = [len([row for row in rows if row["episode_id"] == id]) for id in sorted({r["episode_id"] for r in rows})]
    assert sum(lengths) == len(rows) == visited.decisions
    assert [row["step"] for row in rows] == [step for length in lengths for step in range(length)]
    assert {(row["propensity"], row["reward"]) for row in rows} == {(0.5, 1.0)}


def test_a_bad_visit_message_is_reported_and_not_redelivered(caplog):
    simulator(cloud_events.wrap("visits", b'{"users": 0}'))
    simulator(cloud_events.wrap("visits", b"{"))
    assert caplog.text.count("no visit simulated") == 2


@pytest.mark.parametrize("request_", [{"users": 0}, {"users": "many"}, {"seed": -1}, {"guests": 1}, []])
def test_a_bad_visit_is_refused(request_):
    with pytest.raises(InvalidInput, match="visit"):
        Visit.parse(request_, "visit")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer a-secret"}])
def test_the_logger_exports_event_counts_to_prometheus(tmp_path, headers):
    """With the token of the endpoint, where it has one."""
    port = free_port()
    config = make_config(tmp_path, logging={"metrics_port": port})
    platform = connect(config)
    for payload in (encode(vector_decisions(["a", "b"])), encode(vector_decisions(["b"])), b"poison"):
        platform.bus.publish("decisions", payload)
    platform.bus.publish("rewards", encode(rewards(["a", "nobody"])))

    def exported_counts():
        try:
            text = requests.get(f"http://127.0.0.1:{port}/metrics", headers=headers, timeout=10).text
        except requests.ConnectionError:
            return {}
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {(sample.labels["topic"], sample.labels["outcome"]): sample.value for sample in samples}

    expected = {
        ("decisions", "received"): 3,
        ("decisions", "duplicate"): 1,
        ("decisions", "shown"): 2,
        ("decisions", "shadow"): 0,
        ("decisions", "inactive"): 0,
        ("decisions", "dead"): 1,
        ("rewards", "received"): 2,
        ("rewards", "duplicate"): 0,
        ("rewards", "dead"): 0,
        ("rewards", "joined"): 1,
        ("rewards", "late"): 0,
        ("rewards", "early"): 0,
        ("rewards", "unnamed"): 0,
        ("rewards", "dangling"): 1,
    }
    token = {TOKEN: "a-secret"} if headers else {}
    with process(config, "-m", "banditloop.functions.logger", **token):
        wait_until(lambda: exported_counts() == expected)
        for refused in ({"Authorization": "Bearer wrong"} if headers else {"Host": "evil.example"}), {}:
            status = requests.get(f"http://127.0.0.1:{port}/metrics", headers=refused, timeout=10).status_code
            assert status == (401 if headers else 403 if refused else 200)
