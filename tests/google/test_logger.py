"""The logger on Google Cloud: a function that is ticked, and pulls. It keeps up, and logs every event once."""

import functools
import os
import signal
import threading

import pytest
from google.cloud import pubsub_v1

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import credentials
from banditloop.rl_core.backends.google.provisioning import pubsub
from banditloop.rl_core.events.json_format import encode
from tests.conftest import vector_decisions
from tests.ports.conftest import google
from tests.support.busy_replicas import REPLICAS, feed, logged_once, serve
from tests.support.logger_function import logger_function, make_topics, start_function
from tests.support.processes import free_port, process, wait_until
from tests.support.proxy import proxy

TOPICS = ("decisions", "rewards")


@pytest.fixture
def config(tmp_path):
    bus = {"publish_seconds": 2.0, "lease_seconds": 10.0}
    return google(tmp_path, bus=bus, backend={"min_replicas": REPLICAS})


@pytest.fixture
def at_once(monkeypatch):
    """Messages are redelivered without delay."""
    monkeypatch.setattr(pubsub, "RETRIES", {key: {"seconds": 0} for key in pubsub.RETRIES})


@pytest.mark.slow
def test_the_function_keeps_up_with_two_busy_replicas(config, tmp_path):
    with logger_function(config, seconds=5.0):
        replicas = serve(config, tmp_path)
        assert len(replicas) == REPLICAS
        decisions = feed(replicas, 20)
        platform = connect(config)
        wait_until(lambda: logged_once(platform, decisions))
    assert [platform.bus.deliver(topic, lambda payloads: None) for topic in TOPICS] == [0, 0]


@pytest.mark.slow
def test_events_of_a_function_killed_in_an_append_are_logged_once_by_the_next_and_a_process_beside_it(config, at_once):
    platform, ids = connect(config), [f"event-{number}" for number in range(300)]
    make_topics(config, free_port())
    for event_id in ids:
        platform.bus.publish("decisions", encode(vector_decisions([event_id], mode="simulated")))
    appending, killed = threading.Event(), threading.Event()

    def hold_insert(request, forward):
        """The insertion reaches BigQuery once the function is dead."""
        if b"INSERT INTO" in request.body:
            appending.set()
            killed.wait(60)
        return forward(request)

    with proxy(os.environ["BIGQUERY_EMULATOR_HOST"], hold_insert) as address:
        start = functools.partial(start_function, BIGQUERY_EMULATOR_HOST=address)
        with logger_function(config, seconds=1.0, start=start) as function:
            assert appending.wait(60)
            os.killpg(function.pid, signal.SIGKILL)  # with its worker
            function.wait()
            killed.set()
    with logger_function(config, seconds=1.0), process(config, "-m", "banditloop.functions.logger"):
        wait_until(lambda: unique(platform) == len(ids) and platform.warehouse.event_counts().duplicate["decisions"])
    assert unique(platform) == len(ids)
    assert platform.bus.dead_letters("decisions") == []


def test_what_pubsub_gave_up_on_is_replayed(config, at_once, monkeypatch):
    monkeypatch.setattr(pubsub, "MAX_ATTEMPTS", 5)  # the minimum
    make_topics(config, free_port())
    bus = connect(config).bus
    bus.publish("rewards", b"payload")
    wait_until(lambda: refuse(config, "rewards") or bus.dead_letters("rewards"))
    assert bus.dead_letters("decisions") == []
    assert bus.dead_letters("rewards") == [("was not logged in a hundred attempts", b"payload")]
    assert bus.replay("rewards") == 1
    delivered = []
    wait_until(lambda: bus.deliver("rewards", delivered.extend))
    assert delivered == [b"payload"]
    assert bus.dead_letters("rewards") == []


def test_a_foreign_dead_letter_does_not_hide_the_others(config, at_once):
    """It has no attribute that tells its topic."""
    make_topics(config, free_port())
    bus, backend = connect(config).bus, config.backend
    publisher = pubsub_v1.PublisherClient(credentials=credentials())
    publisher.publish(f"projects/{backend.project}/topics/{backend.endpoint}-dead", b"theirs").result()
    bus.dead_letter("rewards", "a reason", b"ours")
    assert bus.dead_letters("rewards") == [("a reason", b"ours")]


def refuse(config, topic):
    """Send the waiting messages of a topic back."""
    client = pubsub_v1.SubscriberClient(credentials=credentials())
    subscription = f"projects/{config.backend.project}/subscriptions/{config.backend.endpoint}-{topic}"
    request = {"subscription": subscription, "max_messages": 10, "return_immediately": True}
    if ack_ids := [received.ack_id for received in client.pull(request=request).received_messages]:
        client.modify_ack_deadline(subscription=subscription, ack_ids=ack_ids, ack_deadline_seconds=0)


def unique(platform):
    counts = platform.warehouse.event_counts()
    return counts.received["decisions"] - counts.duplicate["decisions"]
