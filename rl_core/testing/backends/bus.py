"""The contract suite of the bus: at-least-once delivery, dead letters, leases."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Bus, Handler, Platform
from banditloop.rl_core.testing.backends.fixtures import BackendFixtures, Configure


class BusContract(BackendFixtures):
    """Checks of the port Bus, most of them with and without a subscription."""

    @pytest.fixture(params=[False, True], ids=["unsubscribed", "subscribed"])
    def subscribed(self, request: pytest.FixtureRequest) -> bool:
        """Whether the test's topics are subscribed to."""
        return request.param

    @pytest.fixture
    def bus(self, platform: Platform, subscribed: bool) -> Iterator[Bus]:
        """The platform's bus."""
        with _subscription(platform.bus, subscribed):
            yield platform.bus

    def test_messages_are_delivered_in_order_and_once_handled_never_again(self, bus: Bus) -> None:
        for number in range(5):
            bus.publish("topic", b"%d" % number)
        delivered: list[bytes] = []
        assert deliver_until(bus, delivered.extend, lambda: len(delivered) == 5) == 5
        assert delivered == [b"0", b"1", b"2", b"3", b"4"]
        assert bus.deliver("topic", delivered.extend) == 0

    def test_topics_are_separate_and_payloads_are_any_bytes(self, bus: Bus) -> None:
        bus.publish("one", bytes(range(256)))
        delivered: list[bytes] = []
        assert bus.deliver("two", delivered.extend) == 0
        assert deliver_until(bus, delivered.extend, lambda: delivered, "one") == 1
        assert bus.deliver("two", delivered.extend) == 0
        assert delivered == [bytes(range(256))]

    def test_a_failed_message_is_redelivered_and_the_others_are_handled(self, bus: Bus) -> None:
        for payload in (b"good", b"bad", b"fine"):
            bus.publish("topic", payload)
        delivered: list[bytes] = []
        failures: list[list[bytes]] = []

        def handler(payloads: list[bytes]) -> None:
            if b"bad" in payloads and len(failures) < 3:
                failures.append(payloads)
                raise RuntimeError("not now")
            delivered.extend(payloads)

        deliver_until(bus, handler, lambda: b"bad" in delivered)
        assert sorted(delivered) == [b"bad", b"fine", b"good"]

    def test_an_invalid_message_becomes_a_dead_letter_with_its_reason(self, bus: Bus) -> None:
        for payload in (b"good", b"poison", b"fine"):
            bus.publish("topic", payload)
        assert bus.dead_letters("topic") == []
        delivered: list[bytes] = []

        def handler(payloads: list[bytes]) -> None:
            if b"poison" in payloads:
                raise InvalidInput("cannot be\nread: \u2717")
            delivered.extend(payloads)

        deliver_until(bus, handler, lambda: len(delivered) == 2 and bus.dead_letters("topic"))
        [(reason, payload)] = bus.dead_letters("topic")
        assert reason.startswith("cannot be read: ")
        assert payload == b"poison"
        assert bus.deliver("topic", handler) == 0

    def test_other_errors_are_retried_without_limit(self, bus: Bus) -> None:
        bus.publish("topic", b"patience")
        attempts: list[list[bytes]] = []

        def handler(payloads: list[bytes]) -> None:
            attempts.append(payloads)
            if len(attempts) < 8:
                raise OSError("the disk is full")

        deliver_until(bus, handler, lambda: len(attempts) == 8)
        assert bus.dead_letters("topic") == []

    def test_old_dead_letters_are_pruned(self, platform: Platform) -> None:
        bus, now = platform.bus, datetime.now(UTC)
        assert bus.prune_dead_letters("topic", now) == 0
        for payload in (b"1", b"2"):
            bus.dead_letter("topic", "reason", payload)
        bus.dead_letter("other", "reason", b"3")
        yesterday, tomorrow = now - timedelta(days=1), now + timedelta(days=1)
        assert bus.prune_dead_letters("topic", yesterday) == 0
        assert bus.prune_dead_letters("topic", tomorrow, dry_run=True) == len(bus.dead_letters("topic")) == 2
        assert bus.prune_dead_letters("topic", tomorrow) == 2
        assert bus.dead_letters("topic") == []
        assert bus.dead_letters("other") == [("reason", b"3")]

    def test_dead_letters_are_replayed_as_new_messages(self, bus: Bus) -> None:
        def refuse(payloads: list[bytes]) -> None:
            raise InvalidInput("it cannot be")

        payloads = [b"first", "zweite \xff".encode("latin-1")]
        for count, payload in enumerate(payloads, 1):
            bus.publish("topic", payload)
            deliver_until(bus, refuse, lambda count=count: len(bus.dead_letters("topic")) == count)  # type: ignore[misc]
        assert [payload for _, payload in bus.dead_letters("topic")] == payloads
        assert bus.replay("topic") == 2
        assert bus.dead_letters("topic") == []
        assert bus.replay("topic") == bus.replay("never-used") == 0
        delivered: list[bytes] = []
        deliver_until(bus, delivered.extend, lambda: len(delivered) == 2)
        assert delivered == payloads

    def test_several_processes_open_new_topics_at_once(self, configure: Configure, platform: Platform) -> None:
        context = get_context("spawn")
        publishers = [context.Process(target=_publish_to_20_topics, args=(configure(),)) for _ in range(4)]
        for publisher in publishers:
            publisher.start()
        for publisher in publishers:
            publisher.join()
        assert [publisher.exitcode for publisher in publishers] == [0] * 4
        assert sum(platform.bus.deliver(f"topic-{number}", lambda payloads: None) for number in range(20)) == 80

    def test_messages_of_a_killed_process_are_redelivered(
        self, configure: Configure, platform: Platform, subscribed: bool
    ) -> None:
        for number in range(3):
            platform.bus.publish("topic", b"%d" % number)
        killed = get_context("spawn").Process(target=_die_while_handling, args=(configure(), subscribed))
        killed.start()
        killed.join()
        assert killed.exitcode == -9
        delivered: list[bytes] = []
        with _subscription(platform.bus, subscribed):
            # Pub/Sub's emulator goes on sending to the stream of the killed process too, for a lease each time.
            deliver_until(platform.bus, delivered.extend, lambda: len(delivered) == 3, seconds=200)
        assert sorted(delivered) == [b"0", b"1", b"2"]

    def test_prefetched_messages_are_released_when_the_subscription_ends(
        self, configure: Configure, platform: Platform
    ) -> None:
        delivered: list[bytes] = []
        with platform.bus.subscribe(["topic"]):
            platform.bus.publish("topic", b"first")
            deliver_until(platform.bus, delivered.extend, lambda: delivered)
            for number in range(20):
                platform.bus.publish("topic", b"%d" % number)
            time.sleep(1)  # so that they are prefetched
        platform.bus.publish("topic", b"last")
        start = time.monotonic()
        deliver_until(connect(configure()).bus, delivered.extend, lambda: len(delivered) == 22)
        assert time.monotonic() - start < 5  # at once, not after the ten seconds that a lease has on Pub/Sub
        assert sorted(delivered) == sorted([b"first", *(b"%d" % number for number in range(20)), b"last"])

    def test_more_messages_than_are_prefetched_are_delivered_once_and_in_order(self, platform: Platform) -> None:
        delivered: list[bytes] = []
        with platform.bus.subscribe(["topic"]):
            for number in range(500):
                platform.bus.publish("topic", b"%d" % number)
            deliver_until(platform.bus, delivered.extend, lambda: len(delivered) >= 500)
        assert delivered == [b"%d" % number for number in range(500)]


def deliver_until(
    bus: Bus, handler: Handler, condition: Callable[[], object], topic: str = "topic", seconds: float = 30
) -> int:
    """Deliver until the condition holds; returns how many messages were delivered."""
    deadline, count = time.monotonic() + seconds, 0
    while not condition():
        assert time.monotonic() < deadline
        count += bus.deliver(topic, handler)
        time.sleep(0.02)
    return count


def _subscription(bus: Bus, subscribed: bool) -> contextlib.AbstractContextManager[None]:
    return bus.subscribe(("topic", "one", "two")) if subscribed else contextlib.nullcontext()


def _publish_to_20_topics(config: Config) -> None:
    bus = connect(config).bus
    for number in range(20):
        bus.publish(f"topic-{number}", b"payload")


def _die_while_handling(config: Config, subscribed: bool) -> None:
    bus = connect(config).bus
    with _subscription(bus, subscribed):
        deliver_until(bus, lambda payloads: os.kill(os.getpid(), signal.SIGKILL), lambda: False)
