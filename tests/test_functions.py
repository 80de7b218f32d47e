"""Logger, simulator and trigger: as CloudEvent functions and by what they promise."""

import base64
import threading

import numpy as np
import orjson
import pyarrow as pa
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from functions.logger import log_events
from functions.simulator import Visit, simulate, simulator
from functions.trigger import tick
from pipelines.compiling import compile_pipelines
from rl_core.backends import cloud_events, connect
from rl_core.errors import InvalidInput
from rl_core.policy import SavedPolicy
from rl_core.release import Verdict
from rl_core.schema import INTERACTION, encode
from rl_core.simulation import simulated_history
from tests.conftest import decisions, deploy, make_config, make_policy, rewards
from tests.processes import free_port, process, wait_until


@pytest.mark.parametrize("name", ["logger", "simulator", "trigger", "monitor"])
def test_functions_framework_runs_the_function_unchanged(name, config, tmp_path):
    platform = connect(config)
    make_policy(tmp_path / "policy", dim=config.environment.dim)
    port = free_port()
    command = ("-m", "functions_framework", "--target", name, "--source", f"functions/{name}.py")
    options = ("--signature-type", "cloudevent", "--port", str(port), "--host", "127.0.0.1")
    payloads = {"logger": encode(decisions(["a"])), "simulator": b'{"users": 3, "seed": 1}'}
    with process(config, *command, *options), process(config, "-m", "functions.predictor"):
        deploy(platform.endpoint, tmp_path / "policy")
        wait_until(platform.endpoint.serving)

        def post():
            try:
                headers = {
                    "ce-id": "1",
                    "ce-specversion": "1.0",
                    "ce-type": cloud_events.PUBLISHED,
                    "ce-source": "//pubsub.googleapis.com/projects/p/topics/decisions",
                }
                message = {"message": {"data": base64.b64encode(payloads.get(name, b"")).decode()}}
                return requests.post(f"http://127.0.0.1:{port}/", json=message, headers=headers, timeout=30)
            except requests.ConnectionError:
                return None

        wait_until(lambda: (response := post()) is not None and response.status_code == 200)
    if name == "logger":
        assert [row["interactions"] for row in platform.warehouse.totals()] == [1]
    if name == "simulator":
        received = []
        platform.bus.deliver("rewards", received.extend)
        assert len(orjson.loads(received[0])) == 3


def test_an_event_of_another_shape_is_invalid_input():
    event = cloud_events.wrap("decisions", b"payload")
    assert (cloud_events.topic(event), cloud_events.payload(event)) == ("decisions", b"payload")
    for wrong in (None, {}, {"message": {}}, {"message": {"data": "not base64!"}}):
        event.data = wrong
        with pytest.raises(InvalidInput, match=r"message\.data"):
            cloud_events.payload(event)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_every_event_is_in_the_warehouse_once_after_the_bus_delivered_it_twice_and_shuffled(tmp_path_factory, shuffler):
    config = make_config(tmp_path_factory.mktemp("twice"))
    platform = connect(config)
    ids = [f"event-{i}" for i in range(60)]
    parts = [ids[i : i + 7] for i in range(0, 60, 7)]
    messages = [("decisions", encode(decisions(part))) for part in parts]
    messages += [("rewards", encode(rewards(part, float(len(part))))) for part in parts]
    messages *= 2
    shuffler.shuffle(messages)
    for topic, payload in messages:
        platform.bus.publish(topic, payload)
        if shuffler.random() < 0.3:
            drain(platform)
    drain(platform)
    window = platform.warehouse.window(None)
    table = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION)
    assert sorted(table["event_id"].to_pylist()) == sorted(ids)
    lengths = {event_id: float(len(part)) for part in parts for event_id in part}
    assert dict(zip(table["event_id"].to_pylist(), table["reward"].to_pylist(), strict=True)) == lengths


def drain(platform):
    for topic in ("decisions", "rewards"):
        while platform.bus.deliver(topic, lambda payloads, topic=topic: log_events(platform, topic, payloads)):
            pass


def test_a_poison_message_is_a_dead_letter_and_the_rest_is_logged(config):
    platform = connect(config)
    for payload in (encode(decisions(["a"])), b'[{"event_id": 1}]', encode(decisions(["b"]))):
        platform.bus.publish("decisions", payload)
    drain(platform)
    [(reason, payload)] = platform.bus.dead_letters("decisions")
    assert reason.startswith("event.0.event_id = 1: Input should be a valid string")
    assert payload == b'[{"event_id": 1}]'
    assert [row["interactions"] for row in platform.warehouse.totals()] == [2]


@pytest.mark.parametrize("setting", ["classic", "honest"])
def test_the_logged_reward_of_every_event_is_the_reward_of_its_observation_and_action(setting, tmp_path):
    """Through real HTTP, bus and warehouse: the users' rewards and the generator's."""
    config = make_config(tmp_path, environment={"setting": setting})
    environment, platform = config.environment, connect(config)
    make_policy(tmp_path / "policy", dim=environment.dim)
    version = deploy(platform.endpoint, tmp_path / "policy")
    with process(config, "-m", "functions.predictor"), process(config, "-m", "functions.logger"):
        wait_until(platform.endpoint.serving)
        for seed in range(4):
            simulate(config, platform, Visit(users=50, seed=seed))
        wait_until(lambda: sum(row["rewarded"] for row in platform.warehouse.totals()) == 200)
    for drawn, paid in simulated_history(environment, 100, "reward", seed=0):
        platform.warehouse.append("rewards", paid)
        platform.warehouse.append("decisions", drawn)
    table = pa.Table.from_batches(platform.warehouse.interactions(platform.warehouse.window(None)), INTERACTION)
    assert table.num_rows == 300
    observations = np.array(table["observation"].to_pylist(), np.float32)
    expected = environment.reward(observations, table["action"].to_numpy(), table["event_id"].to_pylist())
    np.testing.assert_array_equal(table["reward"].to_numpy(), expected)
    # and the propensities are those of the policy that was asked
    online = np.array(table["policy_version"].to_pylist()) == version
    probabilities = SavedPolicy.load(tmp_path / "policy").probabilities(observations[online])
    chosen = probabilities[np.arange(online.sum()), table["action"].to_numpy()[online]]
    np.testing.assert_allclose(table["propensity"].to_numpy()[online], chosen, rtol=1e-12)


def test_a_bad_visit_lets_nobody_come_and_does_not_come_again(caplog):
    simulator(cloud_events.wrap("visits", b'{"users": 0}'))
    simulator(cloud_events.wrap("visits", b"{"))
    assert caplog.text.count("nobody comes") == 2


@pytest.mark.parametrize("request_", [{"users": 0}, {"users": "many"}, {"seed": -1}, {"guests": 1}, []])
def test_a_bad_visit_is_refused(request_):
    with pytest.raises(InvalidInput, match="visit"):
        Visit.parse(request_, "visit")


class TestTrigger:
    @pytest.fixture
    def config(self, tmp_path):
        config = make_config(tmp_path, trigger={"min_interactions": 10, "interval_seconds": 3e7})
        compile_pipelines(tmp_path / "pipelines")
        return config

    def deployed(self, config, tmp_path):
        platform = connect(config)
        make_policy(tmp_path / "policy", dim=config.environment.dim)
        deploy(platform.endpoint, tmp_path / "policy")
        return platform

    def test_it_waits_for_a_first_policy_then_for_enough_interactions(self, config, tmp_path):
        assert tick(config, connect(config)) == (None, "no policy is deployed yet: run the startup pipeline first")
        platform = self.deployed(config, tmp_path)
        add_history(config, platform, 9)
        assert tick(config, platform) == (None, "9 new interactions of 10")
        add_history(config, platform, 10)
        run_id, reason = tick(config, platform)
        assert (run_id, reason) == ("retraining-v1-00000000-1", "19 new interactions")
        assert tick(config, platform) == (None, f"{run_id} is still running")
        wait_until(lambda: platform.runner.state(run_id) != "running")

    def test_a_version_that_a_killed_deployer_left_without_release_is_trained_again(self, config, tmp_path):
        platform = self.deployed(config, tmp_path)
        add_history(config, platform, 20)
        manifest = make_policy(tmp_path / "left", 2, seed=2, until=platform.warehouse.window(None).until)
        platform.endpoint.add(tmp_path / "left")
        verdict = Verdict(version=manifest.version, champion="v1-00000000", judgement="canary", by="evaluator")
        platform.endpoint.record(verdict)
        assert tick(config, platform)[1] == "20 new interactions"
        platform.endpoint.record(verdict.model_copy(update={"judgement": "refuse"}))
        wait_until(lambda: platform.runner.runs()[0].state != "running")
        assert tick(config, platform)[1] == "0 new interactions of 10"

    def test_time_alone_is_enough_if_anything_is_new(self, tmp_path):
        config = make_config(tmp_path, trigger={"min_interactions": 10**6, "interval_seconds": 1.0})
        compile_pipelines(tmp_path / "pipelines")
        platform = self.deployed(config, tmp_path)
        assert tick(config, platform)[0] is None
        add_history(config, platform, 1)
        assert tick(config, platform)[0] is not None

    def test_many_triggers_at_once_submit_one_run(self, config, tmp_path, monkeypatch):
        platform = self.deployed(config, tmp_path)
        add_history(config, platform, 20)
        together, submitted = threading.Barrier(8), []
        real = type(platform.runner).submit

        def submit(*arguments):
            together.wait()  # everybody has looked before anybody submits
            return real(*arguments)

        monkeypatch.setattr(type(platform.runner), "submit", submit)
        threads = [threading.Thread(target=lambda: submitted.append(tick(config, platform)[0])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len([run_id for run_id in submitted if run_id]) == 1
        assert len(platform.runner.runs()) == 1

    def test_a_failed_run_is_followed_by_another_under_a_new_id(self, config, tmp_path):
        platform = self.deployed(config, tmp_path)
        _, template = compile_pipelines(tmp_path / "pipelines")
        (tmp_path / "broken.yaml").write_text(template.read_text().replace("rl_core", "no_core"))
        broken = make_config(tmp_path, trigger={"min_interactions": 1, "template": str(tmp_path / "broken.yaml")})
        add_history(config, platform, 20)
        ids = []
        for _ in range(2):
            ids.append(tick(broken, platform)[0])
            wait_until(lambda: platform.runner.state(ids[-1]) == "failed")
        assert ids == ["retraining-v1-00000000-1", "retraining-v1-00000000-2"]
        run_id, reason = tick(broken, platform)  # and then no more for a while
        assert run_id is None
        assert reason.startswith("retraining-v1-00000000-2 failed; the next attempt is at ")


def add_history(config, platform, interactions):
    for drawn, paid in simulated_history(config.environment, interactions, "reward", seed=0):
        platform.warehouse.append("rewards", paid)
        platform.warehouse.append("decisions", drawn)


def test_the_logger_tells_prometheus_what_became_of_the_events(tmp_path):
    port = free_port()
    config = make_config(tmp_path, backend={"root": str(tmp_path / "loop"), "metrics_port": port})
    platform = connect(config)
    for payload in (encode(decisions(["a", "b"])), encode(decisions(["b"])), b"poison"):
        platform.bus.publish("decisions", payload)
    platform.bus.publish("rewards", encode(rewards(["a", "nobody"])))

    def told():
        try:
            text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        except requests.ConnectionError:
            return {}
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {(sample.labels["topic"], sample.labels["outcome"]): sample.value for sample in samples}

    expected = {
        ("decisions", "received"): 3,
        ("decisions", "duplicate"): 1,
        ("decisions", "dead"): 1,
        ("rewards", "received"): 2,
        ("rewards", "duplicate"): 0,
        ("rewards", "dead"): 0,
        ("rewards", "late"): 0,
        ("rewards", "dangling"): 1,
    }
    with process(config, "-m", "functions.logger"):
        wait_until(lambda: told() == expected)
