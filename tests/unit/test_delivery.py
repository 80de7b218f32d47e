"""Delivery of a batch: one bad message among many costs few attempts, and an outage is not an attempt per message."""

import logging

from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.backends.delivery import deliver_messages
from banditloop.rl_core.errors import InvalidInput


def deliver(count, invalid, failing):
    """What becomes of the messages 0 to count - 1, and how often the handler was called."""
    handled, acknowledged, dead, released, calls = [], [], [], [], []

    def handle(batch):
        calls.append(batch)
        if failing.intersection(batch):
            raise OSError("not now")
        if invalid.intersection(batch):
            raise InvalidInput("it cannot be")
        handled.extend(batch)

    deliver_messages(
        list(range(count)),
        handle,
        acknowledged.extend,
        lambda message, reason: dead.append(message),
        released.extend,
        logging.getLogger("test"),
    )
    assert acknowledged == sorted(handled + dead)
    assert sorted(acknowledged + released) == list(range(count))
    return dead, released, len(calls)


@given(st.integers(1, 200), st.sets(st.integers(0, 199)), st.sets(st.integers(0, 199), max_size=3))
def test_bad_messages_are_found_and_all_others_acknowledged_in_order(count, invalid, failing):
    messages = set(range(count))
    dead, released, _ = deliver(count, invalid, failing)
    assert released == sorted(failing & messages)
    assert dead == sorted((invalid - failing) & messages)


def test_one_bad_message_of_many_takes_few_calls():
    assert deliver(50_000, {31_000}, set()) == ([31_000], [], 33)
    assert deliver(50_000, set(), {31_000}) == ([], [31_000], 33)


def test_in_an_outage_all_messages_are_released_after_few_calls():
    dead, released, calls = deliver(50_000, set(), set(range(50_000)))
    assert (dead, released) == ([], list(range(50_000)))
    assert calls < 100
