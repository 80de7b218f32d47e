"""The bus: at least once, dead letters, leases."""

import contextlib
import os
import signal
import time
from multiprocessing import get_context

import pytest

from rl_core.backends import connect
from rl_core.config import Config
from rl_core.errors import InvalidInput


@pytest.fixture(params=["asking", "receiving"])
def receiving(request):
    return request.param == "receiving"


@pytest.fixture
def bus(platform, receiving):
    with listening(platform.bus, receiving):
        yield platform.bus


def listening(bus, receiving):
    return bus.receiving(("topic", "one", "two")) if receiving else contextlib.nullcontext()


class TestBus:
    def test_messages_come_in_order_and_are_gone_when_handled(self, bus):
        for number in range(5):
            bus.publish("topic", b"%d" % number)
        got = []
        assert deliver_until(bus, got.extend, lambda: len(got) == 5) == 5
        assert got == [b"0", b"1", b"2", b"3", b"4"]
        assert bus.deliver("topic", got.extend) == 0

    def test_topics_are_apart_and_payloads_are_any_bytes(self, bus):
        bus.publish("one", bytes(range(256)))
        got = []
        assert bus.deliver("two", got.extend) == 0
        assert deliver_until(bus, got.extend, lambda: got, "one") == 1
        assert bus.deliver("two", got.extend) == 0
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

    def test_dead_letters_are_handed_over_again_as_new_messages(self, bus):
        def refuse(payloads):
            raise InvalidInput("it cannot be")

        payloads = [b"first", "zweite \xff".encode("latin-1")]
        for many, payload in enumerate(payloads, 1):
            bus.publish("topic", payload)
            deliver_until(bus, refuse, lambda many=many: len(bus.dead_letters("topic")) == many)
        assert [payload for _, payload in bus.dead_letters("topic")] == payloads
        assert bus.replay("topic") == 2
        assert bus.dead_letters("topic") == []
        assert bus.replay("topic") == bus.replay("never-used") == 0
        received = []
        deliver_until(bus, received.extend, lambda: len(received) == 2)
        assert received == payloads


def test_many_processes_open_a_new_topic_at_once(configure, platform):
    context = get_context("spawn")
    publishers = [context.Process(target=publish_many, args=(configure(),)) for _ in range(4)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert [publisher.exitcode for publisher in publishers] == [0] * 4
    assert sum(platform.bus.deliver(f"topic-{i}", lambda payloads: None) for i in range(20)) == 80


def test_messages_of_a_process_that_died_come_again(configure, platform, receiving):
    for number in range(3):
        platform.bus.publish("topic", b"%d" % number)
    dying = get_context("spawn").Process(target=die_while_handling, args=(configure(), receiving))
    dying.start()
    dying.join()
    assert dying.exitcode == -9
    got = []
    with listening(platform.bus, receiving):
        # Pub/Sub's emulator goes on sending to the stream of the dead too, for a lease each time.
        deliver_until(platform.bus, got.extend, lambda: len(got) == 3, seconds=200)
    assert sorted(got) == [b"0", b"1", b"2"]


def test_what_came_and_was_not_handed_over_comes_again_at_once(configure, platform):
    got = []
    with platform.bus.receiving(["topic"]):
        platform.bus.publish("topic", b"first")
        deliver_until(platform.bus, got.extend, lambda: got)
        for number in range(20):
            platform.bus.publish("topic", b"%d" % number)
        time.sleep(1)  # so that they come
    platform.bus.publish("topic", b"last")
    start = time.monotonic()
    deliver_until(connect(configure()).bus, got.extend, lambda: len(got) == 22)
    assert time.monotonic() - start < 5  # of ten seconds that a lease has there
    assert sorted(got) == sorted([b"first", *(b"%d" % number for number in range(20)), b"last"])


def test_more_than_is_received_ahead_comes_once_and_in_order(platform):
    got = []
    with platform.bus.receiving(["topic"]):
        for number in range(500):
            platform.bus.publish("topic", b"%d" % number)
        deliver_until(platform.bus, got.extend, lambda: len(got) >= 500)
    assert got == [b"%d" % number for number in range(500)]


def deliver_until(bus, handler, done, topic="topic", seconds=30):
    """Returns how many messages were delivered."""
    deadline, many = time.monotonic() + seconds, 0
    while not done():
        assert time.monotonic() < deadline
        many += bus.deliver(topic, handler)
        time.sleep(0.02)
    return many


def publish_many(config: Config) -> None:
    bus = connect(config).bus
    for number in range(20):
        bus.publish(f"topic-{number}", b"payload")


def die_while_handling(config: Config, receiving: bool) -> None:
    bus = connect(config).bus
    with listening(bus, receiving):
        deliver_until(bus, lambda payloads: os.kill(os.getpid(), signal.SIGKILL), lambda: False)
