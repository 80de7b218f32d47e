"""On one machine a window waits for rewards that were received in time and are still in an outbox or in the bus."""

import functools
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context

import orjson
import pytest

from banditloop.functions.logger import log_events
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.local import event_log
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.serving.outbox import Outbox, send
from banditloop.rl_core.serving.reward_request import read_rewards
from banditloop.rl_core.testing.backends.warehouse import read_rewards as rewards_of
from banditloop.rl_core.testing.events import TASK, decisions, rewards
from tests.ports.conftest import local
from tests.support.processes import process, wait_until

SECONDS = 0.5  # the attribution window


@pytest.fixture
def config(tmp_path):
    return local(tmp_path, task=TASK.model_dump(), reward={"attribution_window_seconds": SECONDS})


@pytest.fixture
def platform(config):
    """With two decisions that were logged just now."""
    platform = connect(config)
    platform.warehouse.append("decisions", decisions(["a", "b"]))
    return platform


def drain(config, platform):
    handler = functools.partial(log_events, config.task, platform, "rewards", reward=config.reward)
    while platform.bus.deliver("rewards", handler, timed=True):
        pass


def assert_timely(platform):
    """The reward counts, although it was logged after the attribution window."""
    assert rewards_of(platform, platform.warehouse.window(None)) == {"a": 5.0, "b": 0.0}
    counts = platform.warehouse.event_counts()
    assert (counts.joined, counts.late) == (1, 0)


def test_a_window_waits_for_a_reward_in_the_bus(config, platform):
    platform.bus.publish("rewards", encode(rewards(["a"], 5.0)))
    time.sleep(2 * SECONDS)
    assert platform.warehouse.window(None).interactions == 0
    drain(config, platform)
    assert_timely(platform)


def test_a_window_waits_for_a_reward_in_an_outbox(config, platform):
    """It was received when the endpoint accepted it, not when the bus had it."""
    folder = platform.scratch / "outbox" / "rewards"
    body = orjson.dumps({"rewards": [{"event_id": "a", "value": 5.0}]})
    Outbox(folder).put(orjson.dumps(read_rewards(body, config.task, config.reward)))
    time.sleep(2 * SECONDS)
    assert platform.warehouse.window(None).interactions == 0
    send(folder, functools.partial(platform.bus.publish, "rewards"))
    assert platform.warehouse.window(None).interactions == 0
    drain(config, platform)
    assert_timely(platform)


def test_a_window_waits_for_a_reward_that_a_killed_process_was_handling(config, platform):
    platform.bus.publish("rewards", encode(rewards(["a"], 5.0)))
    child = get_context("spawn").Process(target=_die_while_handling, args=(config,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    time.sleep(2 * SECONDS)
    assert platform.warehouse.window(None).interactions == 0
    wait_until(lambda: drain(config, platform) or not platform.bus.unhandled("rewards"))
    assert_timely(platform)


def _die_while_handling(config):
    connect(config).bus.deliver("rewards", lambda payloads: os.kill(os.getpid(), signal.SIGKILL))


def test_a_reward_held_by_a_killed_logger_does_not_become_the_default(tmp_path):
    """Its message is leased for longer than the attribution window."""
    config = local(
        tmp_path,
        task=TASK.model_dump(),
        reward={"attribution_window_seconds": SECONDS},
        bus={"lease_seconds": 4 * SECONDS},
    )
    platform = connect(config)
    platform.warehouse.append("decisions", decisions(["a", "b"]))
    platform.bus.publish("rewards", encode(rewards(["a"], 5.0)))
    with (
        platform.warehouse._log.tables["rewards"].lock(),  # so that the logger waits with the message in its hands
        process(config, "-m", "banditloop.functions.logger") as logger,
    ):
        wait_until(lambda: locked(platform.bus))
        logger.send_signal(signal.SIGKILL)
        logger.wait()
    assert platform.warehouse.window(None).interactions == 0
    with process(config, "-m", "banditloop.functions.logger"):
        wait_until(lambda: platform.warehouse.window(None).interactions == 2)
    assert_timely(platform)


def test_a_window_waits_only_so_long_and_then_stays_as_it_is(config, platform, monkeypatch):
    """A message that can never be handled does not stop learning; a reward that comes later is late."""
    monkeypatch.setattr(event_log, "MAX_WAIT", timedelta(seconds=SECONDS))
    platform.bus.publish("rewards", encode(rewards(["a"], 5.0)))
    time.sleep(3 * SECONDS)
    window = platform.warehouse.window(None)
    assert rewards_of(platform, window) == {"a": 0.0, "b": 0.0}
    drain(config, platform)
    assert rewards_of(platform, window) == {"a": 0.0, "b": 0.0}
    assert platform.warehouse.event_counts().late == 1


def test_a_message_that_is_no_reward_holds_a_window_up_by_its_own_time(config, platform):
    assert platform.warehouse.window(None).until < datetime.now(UTC)
    time.sleep(1.5 * SECONDS)
    platform.bus.publish("rewards", b"poison")
    assert platform.warehouse.window(None).interactions == 2


def locked(bus) -> list:
    """The rewards that a logger holds."""
    with bus._queue("rewards") as queue:
        return list(queue.list_locked(0))
