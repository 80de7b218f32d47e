"""The bus: at least once, dead letters, leases."""

import os
import signal
import time
from multiprocessing import get_context

import pytest

from rl_core.backends import connect
from rl_core.config import Config
from rl_core.errors import InvalidInput


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


def test_dead_letters_are_handed_over_again_as_new_messages(platform):
    def refuse(payloads):
        raise InvalidInput("it cannot be")

    for payload in (b"first", "zweite \xff".encode("latin-1")):
        platform.bus.publish("topic", payload)
        deliver_until(
            platform.bus, refuse, lambda payload=payload: payload in dict_of(platform.bus.dead_letters("topic"))
        )
    assert platform.bus.replay("topic") == 2
    assert platform.bus.dead_letters("topic") == []
    assert platform.bus.replay("topic") == platform.bus.replay("never-used") == 0
    received = []
    deliver_until(platform.bus, received.extend, lambda: len(received) == 2)
    assert received == [b"first", "zweite \xff".encode("latin-1")]


def dict_of(letters):
    return {payload: reason for reason, payload in letters}


def deliver_until(bus, handler, done):
    deadline = time.monotonic() + 30
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
