"""The contract suite: what rl_core.backends promises, held against every backend.

A backend joins by adding to BACKENDS how its config is made, from a folder of its own and sections to override.
"""

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import compiler, dsl

from rl_core.backends import Platform, champion, connect
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.schema import INTERACTION
from tests.conftest import decisions, make_config, make_policy, rewards
from tests.processes import process, wait_until


def local(root: Path, **sections) -> Config:
    return make_config(root, backend={"root": str(root / "a loop, ü #1"), "lease_seconds": 0.2}, **sections)


BACKENDS = {"local": local}
every_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS.keys())
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def configure(request, tmp_path):
    """Makes a config of the backend, with sections to override."""
    return lambda **sections: request.param(tmp_path, **sections)


@pytest.fixture
def platform(configure) -> Platform:
    return connect(configure())


def read(platform, window) -> dict[str, float]:
    table = pa.Table.from_batches(platform.warehouse.interactions(window), INTERACTION)
    assert table.num_rows == window.interactions
    return dict(zip(table["event_id"].to_pylist(), table["reward"].to_pylist(), strict=True))


class TestWarehouse:
    def test_it_starts_empty(self, platform):
        assert platform.warehouse.window(None).interactions == 0
        assert platform.warehouse.totals() == []

    def test_an_event_is_kept_once_however_often_it_comes(self, platform):
        assert platform.warehouse.append("decisions", decisions(["a", "b", "a"])) == 2
        assert platform.warehouse.append("decisions", decisions(["b", "c"])) == 1
        assert platform.warehouse.append("rewards", rewards(["a", "a"])) == 1
        assert platform.warehouse.append("rewards", rewards(["a"], source_id="another")) == 1
        assert platform.warehouse.append("decisions", decisions([])) == 0
        assert [(row["interactions"], row["rewarded"]) for row in platform.warehouse.totals()] == [(3, 1)]

    def test_an_interaction_is_complete_with_its_first_reward_or_with_its_window(self, platform):
        platform.warehouse.append("decisions", decisions(["simulated"], mode="simulated"))
        platform.warehouse.append("decisions", decisions(["rewarded"]))
        platform.warehouse.append("rewards", rewards(["rewarded"], 4.0))
        assert read(platform, platform.warehouse.window(None)) == {"simulated": 0.0, "rewarded": 4.0}
        platform.warehouse.append("decisions", decisions(["waits"]))
        platform.warehouse.append("decisions", decisions(["behind"], mode="simulated"))
        assert platform.warehouse.window(None).interactions == 2
        platform.warehouse.append("rewards", rewards(["waits"]))
        assert platform.warehouse.window(None).interactions == 4

    def test_a_decision_logged_late_still_gives_its_reward_time_to_arrive(self, platform):
        """After a pause of the logger, a decision older than the window comes before its reward."""
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO))
        assert platform.warehouse.window(None).interactions == 0
        platform.warehouse.append("rewards", rewards(["a"], 5.0, at=LONG_AGO))
        assert read(platform, platform.warehouse.window(None)) == {"a": 5.0}

    def test_a_decision_from_the_future_holds_nothing_up(self, configure):
        platform = connect(configure(reward={"window_seconds": 0.3}))
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO + timedelta(days=36_500)))
        time.sleep(0.4)
        assert read(platform, platform.warehouse.window(None)) == {"a": 0.0}

    def test_many_small_appends_are_kept_through_compaction(self, platform):
        ids = [f"{i}" for i in range(120)]
        for event_id in ids:
            platform.warehouse.append("decisions", decisions([event_id], at=LONG_AGO, mode="simulated"))
        middle = platform.warehouse.window(None)
        assert set(read(platform, middle)) == set(ids)
        assert platform.warehouse.append("decisions", decisions(ids, at=LONG_AGO)) == 0
        platform.warehouse.append("decisions", decisions(["after"], mode="simulated"))
        assert set(read(platform, platform.warehouse.window(middle.until))) == {"after"}

    def test_windows_follow_each_other_without_gap_or_overlap(self, platform):
        since, seen = None, []
        for step in range(4):
            ids = [f"{step}-{i}" for i in range(3)]
            platform.warehouse.append("decisions", decisions(ids, mode="simulated"))
            window = platform.warehouse.window(since)
            assert set(read(platform, window)) == set(ids)
            assert platform.warehouse.window(window.until).interactions == 0
            since, seen = window.until, seen + ids
        assert set(read(platform, platform.warehouse.window(None))) == set(seen)

    def test_what_is_logged_late_comes_with_a_later_window(self, platform):
        platform.warehouse.append("decisions", decisions(["today"], at=LONG_AGO + timedelta(days=1), mode="simulated"))
        first = platform.warehouse.window(None)
        platform.warehouse.append("decisions", decisions(["of yesterday"], at=LONG_AGO, mode="simulated"))
        assert set(read(platform, platform.warehouse.window(first.until))) == {"of yesterday"}

    def test_appends_within_one_moment_or_while_the_clock_goes_back_are_told_apart(self, platform, monkeypatch):
        since, clock = None, iter([5, 5, 4, 3, 3, 9])
        monkeypatch.setattr(time, "time_ns", lambda: 10**18 + next(clock) * 1000)
        for step in range(6):
            platform.warehouse.append("decisions", decisions([str(step)], mode="simulated"))
            window = platform.warehouse.window(since)
            assert set(read(platform, window)) == {str(step)}
            since = window.until

    @pytest.mark.parametrize(
        ("aggregation", "expected"), [("first", 1), ("last", 3), ("sum", 6), ("mean", 2), ("max", 3), ("min", 1)]
    )
    def test_several_rewards_are_aggregated(self, configure, aggregation, expected):
        platform = connect(configure(reward={"aggregation": aggregation, "window_seconds": 10.0}))
        platform.warehouse.append("decisions", decisions(["a"], at=LONG_AGO, mode="simulated"))
        for order in (2, 1, 3):
            at = LONG_AGO + timedelta(seconds=order)
            platform.warehouse.append("rewards", rewards(["a"], order, at=at, source_id=str(order)))
        assert read(platform, platform.warehouse.window(None)) == {"a": expected}

    def test_only_the_named_reward_within_the_window_counts(self, configure):
        platform = connect(configure(reward={"name": "rating", "default": -1.0, "window_seconds": 10.0}))
        platform.warehouse.append(
            "decisions", decisions(["late", "other", "none", "good"], at=LONG_AGO, mode="simulated")
        )
        in_time, late = LONG_AGO + timedelta(seconds=10), LONG_AGO + timedelta(seconds=11)
        platform.warehouse.append("rewards", rewards(["late"], 5.0, at=late, name="rating"))
        platform.warehouse.append("rewards", rewards(["other"], 5.0, at=in_time, name="click"))
        platform.warehouse.append("rewards", rewards(["good"], 5.0, at=in_time, name="rating"))
        assert read(platform, platform.warehouse.window(None)) == {"late": -1, "other": -1, "none": -1, "good": 5}

    def test_where_the_first_reward_does_not_settle_it_the_window_must_pass(self, configure):
        platform = connect(configure(reward={"aggregation": "sum", "window_seconds": 0.5}))
        platform.warehouse.append("decisions", decisions(["a"]))
        platform.warehouse.append("rewards", rewards(["a"]))
        assert platform.warehouse.window(None).interactions == 0
        time.sleep(0.6)
        assert platform.warehouse.window(None).interactions == 1

    def test_writers_and_a_reader_at_once_lose_and_double_nothing(self, configure, platform):
        """Three processes append overlapping events while this one reads whatever is new."""
        context = get_context("spawn")
        writers = [context.Process(target=append_many, args=(configure(), w)) for w in range(3)]
        for writer in writers:
            writer.start()
        since, seen = None, []
        while any(writer.is_alive() for writer in writers) or platform.warehouse.window(since).interactions:
            window = platform.warehouse.window(since)
            seen += read(platform, window)
            assert window.interactions % 10 == 0  # whole appends only
            since = window.until
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert sorted(seen) == sorted(f"{i}-{j}" for i in range(24) for j in range(10))


def append_many(config: Config, writer: int) -> None:
    warehouse = connect(config).warehouse
    for step in range(16):  # each writer shares half of its events with the next one
        batch = (8 * writer + step) % 24
        warehouse.append("decisions", decisions([f"{batch}-{j}" for j in range(10)], at=LONG_AGO, mode="simulated"))


@every_backend
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    appends=st.lists(
        st.tuples(st.sampled_from(["decisions", "rewards"]), st.lists(st.sampled_from("abcdef"))), max_size=8
    )
)
def test_any_order_and_repetition_of_appends_gives_the_same_table(backend, tmp_path_factory, appends):
    platform = connect(backend(tmp_path_factory.mktemp("warehouse")))
    known = {"decisions": set(), "rewards": set()}
    for table, ids in appends:
        events = decisions(ids, at=LONG_AGO, mode="simulated") if table == "decisions" else rewards(ids, at=LONG_AGO)
        assert platform.warehouse.append(table, events) == len(set(ids) - known[table])
        known[table] |= set(ids)
    expected = {event_id: float(event_id in known["rewards"]) for event_id in known["decisions"]}
    assert read(platform, platform.warehouse.window(None)) == expected


@pytest.fixture
def bus(platform):
    return platform.bus


class TestBus:
    def test_messages_come_in_order_and_are_gone_when_handled(self, bus):
        for number in range(5):
            bus.publish("topic", b"%d" % number)
        got = []
        assert bus.deliver("topic", got.extend) == 5
        assert got == [b"0", b"1", b"2", b"3", b"4"]
        assert bus.deliver("topic", got.extend) == 0

    def test_topics_are_apart_and_payloads_are_any_bytes(self, bus):
        bus.publish("one", bytes(range(256)))
        got = []
        assert bus.deliver("two", got.extend) == 0
        assert bus.deliver("one", got.extend) == 1
        assert got == [bytes(range(256))]

    def test_a_message_that_failed_comes_again_and_its_neighbours_are_handled(self, bus):
        for payload in (b"good", b"bad", b"fine"):
            bus.publish("topic", payload)
        got, failures = [], []

        def handler(payloads):
            if b"bad" in payloads and len(failures) < 3:
                failures.append(payloads)
                raise RuntimeError("not now")
            got.extend(payloads)

        deliver_until(bus, handler, lambda: b"bad" in got)
        assert sorted(got) == [b"bad", b"fine", b"good"]

    def test_a_message_that_is_invalid_becomes_a_dead_letter_with_its_reason(self, bus):
        for payload in (b"good", b"poison", b"fine"):
            bus.publish("topic", payload)
        assert bus.dead_letters("topic") == []
        got = []

        def handler(payloads):
            if b"poison" in payloads:
                raise InvalidInput("cannot be\nread: \u2717")
            got.extend(payloads)

        deliver_until(bus, handler, lambda: len(got) == 2 and bus.dead_letters("topic"))
        [(reason, payload)] = bus.dead_letters("topic")
        assert reason.startswith("cannot be read: ")
        assert payload == b"poison"
        assert bus.deliver("topic", handler) == 0

    def test_a_message_is_never_given_up_for_an_error_of_ours(self, bus):
        bus.publish("topic", b"patience")
        attempts = []

        def handler(payloads):
            attempts.append(payloads)
            if len(attempts) < 8:
                raise OSError("the disk is full")

        deliver_until(bus, handler, lambda: len(attempts) == 8)
        assert bus.dead_letters("topic") == []

    def test_many_processes_open_a_new_topic_at_once(self, configure, bus):
        context = get_context("spawn")
        publishers = [context.Process(target=publish_many, args=(configure(),)) for _ in range(4)]
        for publisher in publishers:
            publisher.start()
        for publisher in publishers:
            publisher.join()
        assert [publisher.exitcode for publisher in publishers] == [0] * 4
        assert sum(bus.deliver(f"topic-{i}", lambda payloads: None) for i in range(20)) == 80

    def test_messages_of_a_process_that_died_come_again(self, configure, bus):
        for number in range(3):
            bus.publish("topic", b"%d" % number)
        dying = get_context("spawn").Process(target=die_while_handling, args=(configure(),))
        dying.start()
        dying.join()
        assert dying.exitcode == -9
        got = []
        deliver_until(bus, got.extend, lambda: len(got) == 3)
        assert sorted(got) == [b"0", b"1", b"2"]


def deliver_until(bus, handler, done):
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        bus.deliver("topic", handler)
        time.sleep(0.02)


def publish_many(config: Config) -> None:
    bus = connect(config).bus
    for number in range(20):
        bus.publish(f"topic-{number}", b"payload")


def die_while_handling(config: Config) -> None:
    connect(config).bus.deliver("topic", lambda payloads: os.kill(os.getpid(), signal.SIGKILL))


class TestEndpoint:
    def test_before_the_first_deployment_there_is_nothing(self, platform):
        assert platform.endpoint.versions() == []
        assert platform.endpoint.traffic() == {}
        assert champion(platform.endpoint) is None
        assert platform.endpoint.names() == []

    def test_a_deployed_version_takes_all_the_traffic_and_the_older_one_stays(self, platform, tmp_path):
        for generation in (1, 2):
            manifest = make_policy(tmp_path / "policy", generation)
            assert platform.endpoint.deploy(tmp_path / "policy") == manifest.version
            assert platform.endpoint.traffic() == {manifest.version: 100}
            assert champion(platform.endpoint) == manifest
            assert len(platform.endpoint.names()) == 1
        assert [m.generation for m in platform.endpoint.versions()] == [1, 2]

    def test_deploying_again_changes_nothing(self, platform, tmp_path):
        make_policy(tmp_path / "policy")
        version = platform.endpoint.deploy(tmp_path / "policy")
        assert platform.endpoint.deploy(tmp_path / "policy") == version
        assert len(platform.endpoint.versions()) == 1

    def test_traffic_can_be_split_and_moved_back(self, platform, tmp_path):
        old, new = (deploy(platform, tmp_path, generation) for generation in (1, 2))
        platform.endpoint.route({old: 90, new: 10})
        assert platform.endpoint.traffic() == {old: 90, new: 10}
        assert champion(platform.endpoint).version == old
        platform.endpoint.route({old: 100, new: 0})
        assert platform.endpoint.traffic() == {old: 100}

    def test_a_split_that_cannot_be_is_refused(self, platform, tmp_path):
        version = deploy(platform, tmp_path, 1)
        for traffic in ({}, {version: 99}, {version: 150, "v9-nothing": -50}, {"v9-nothing": 100}):
            with pytest.raises(InvalidInput, match="traffic"):
                platform.endpoint.route(traffic)
        assert platform.endpoint.traffic() == {version: 100}

    def test_a_policy_that_is_not_whole_changes_nothing(self, platform, tmp_path):
        version = deploy(platform, tmp_path, 1)
        make_policy(tmp_path / "policy", 2)
        (tmp_path / "policy" / "weights.npz").write_bytes(b"")
        with pytest.raises(InvalidInput, match=r"weights\.npz"):
            platform.endpoint.deploy(tmp_path / "policy")
        assert platform.endpoint.traffic() == {version: 100}
        assert len(platform.endpoint.versions()) == 1

    def test_predictions_need_a_server(self, platform):
        assert platform.endpoint.serving() == []
        with pytest.raises(InvalidInput, match="nothing serves it"):
            platform.endpoint.predict([[1.0]])

    def test_a_served_version_answers_every_instance(self, configure, platform, tmp_path):
        version = deploy(platform, tmp_path, 1)
        with process(configure(), "-m", "functions.predictor"):
            wait_until(lambda: platform.endpoint.serving() == [version])
            answers = platform.endpoint.predict([[0.1] * 20] * 3)
            assert [answer["policy_version"] for answer in answers] == [version] * 3
            assert len({answer["event_id"] for answer in answers}) == 3
            with pytest.raises(InvalidInput, match="an observation is a list of 20 numbers"):
                platform.endpoint.predict([[0.1]])


def deploy(platform, tmp_path, generation):
    make_policy(tmp_path / "policy", generation)
    return platform.endpoint.deploy(tmp_path / "policy")


@dsl.component(base_image="python", install_kfp_package=False)
def sleeper(seconds: float, config: dict, fails: bool = False):
    import time

    time.sleep(seconds)
    if fails:
        raise ValueError(f"it was told to fail with {config}")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    @dsl.pipeline(name="sleep")
    def sleep(seconds: float, config: dict, fails: bool = False):
        sleeper(seconds=seconds, config=config, fails=fails)

    path = tmp_path_factory.mktemp("template") / "sleep.yaml"
    compiler.Compiler().compile(sleep, str(path))
    assert len(list(yaml.safe_load_all(path.read_text()))) == 1
    return path


def finish(platform, run_id):
    deadline = time.monotonic() + 60
    while platform.runner.state(run_id) == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return platform.runner.state(run_id)


class TestRunner:
    def test_a_run_succeeds_or_fails_and_says_why(self, platform, template):
        parameters = {"seconds": 0.0, "config": {"a": 1}}
        assert platform.runner.runs() == []
        assert platform.runner.submit(template, parameters, "good")
        assert finish(platform, "good") == "succeeded"
        assert platform.runner.submit(template, parameters | {"fails": True}, "bad")
        assert finish(platform, "bad") == "failed"
        assert platform.runner.explain("bad") == "sleeper: ValueError: it was told to fail with {'a': 1.0}"
        assert [run[:2] for run in platform.runner.runs()] == [("good", "succeeded"), ("bad", "failed")]
        assert platform.runner.runs()[0].started <= platform.runner.runs()[1].started

    def test_a_run_id_is_taken_once(self, platform, template):
        parameters = {"seconds": 1.0, "config": {}}
        assert platform.runner.submit(template, parameters, "run")
        assert platform.runner.state("run") == "running"
        assert not platform.runner.submit(template, parameters, "run")
        assert finish(platform, "run") == "succeeded"
        assert not platform.runner.submit(template, parameters, "run")
        assert len(platform.runner.runs()) == 1

    def test_a_wrong_parameter_or_template_fails_with_the_reason(self, platform, template, tmp_path):
        platform.runner.submit(template, {"no": 1}, "run")
        assert finish(platform, "run") == "failed"
        assert "no" in platform.runner.explain("run")
        with pytest.raises(InvalidInput, match="No such file"):
            platform.runner.submit(tmp_path / "none.yaml", {}, "other")
        with pytest.raises(InvalidInput, match="no such run"):
            platform.runner.state("other")
