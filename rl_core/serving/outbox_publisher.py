"""The outbox publisher: publishes the events of outboxes to the bus, in a process of its own beside the predictor.

A thread of the predictor would compete with requests for the interpreter lock: that would cost a seventh of the
throughput and account for most of the 99th percentile of the latency. The bus receives messages at least once.
"""

import asyncio
import functools
import logging
import os
import select
import signal
import sys
import time
from pathlib import Path

from banditloop.rl_core import process
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Bus
from banditloop.rl_core.serving.outbox import send
from banditloop.rl_core.serving.restarts import Restarts

TOPICS = ("decisions", "rewards")
RETRY_SECONDS, LOCK_WAIT_SECONDS = 1.0, 10.0
# Answering requests comes first: low priority, and after each message a sleep of IDLE_FACTOR times its CPU time.
NICENESS, IDLE_FACTOR = 10, 4
log = logging.getLogger("banditloop.publisher")


def outbox_folder(scratch: Path, topic: str) -> Path:
    """The folder of a topic's outbox."""
    return scratch / "outbox" / topic


def serve(config: Config) -> None:
    """Publish until standard input closes, as it does when the parent process ends, and then a last time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the predictor, which closes standard input on exit
    os.nice(NICENESS)
    platform = connect(config)
    last_round = False
    while not last_round:
        last_round = _stdin_closes_within(config.bus.publish_seconds)
        for topic in TOPICS:
            try:
                publish = functools.partial(_publish, platform.bus, topic, 0 if last_round else IDLE_FACTOR)
                wait = LOCK_WAIT_SECONDS if last_round else 0.0
                damaged = functools.partial(_set_aside, platform.bus, topic)
                send(outbox_folder(platform.scratch, topic), publish, wait, damaged)
            except Exception as error:  # any error: the files stay and the next round retries
                log.warning("%s: not all events published, retrying: %r", topic, error)
                _stdin_closes_within(RETRY_SECONDS)


def _publish(bus: Bus, topic: str, idle_factor: int, message: bytes) -> None:
    start = time.process_time()
    bus.publish(topic, message)
    time.sleep(idle_factor * (time.process_time() - start))


def _set_aside(bus: Bus, topic: str, reason: str, line: bytes) -> None:
    """Report a damaged line, and keep it as a dead letter."""
    log.error("%s: outbox file %s; its %d bytes become a dead letter", topic, reason, len(line))
    bus.dead_letter(topic, f"damaged on disk: outbox file {reason}", line)


def _stdin_closes_within(seconds: float) -> bool:
    return bool(select.select([sys.stdin], [], [], seconds)[0])


async def keep_publishing() -> None:
    """Keep a publisher running, with $BANDITLOOP_CONFIG. When cancelled, wait until it has emptied the outboxes.

    If this process is killed, its publisher empties them too before it exits.
    """
    restarts, command = Restarts(), (sys.executable, "-m", "banditloop.rl_core.serving.outbox_publisher")
    while True:
        try:
            publisher = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        except OSError as error:  # out of memory or processes
            log.error("the publisher cannot be started: %s", error)
        else:
            await _publish_with(publisher)
        await restarts.pause()


async def _publish_with(publisher: asyncio.subprocess.Process) -> None:
    """Wait until a publisher exits. When cancelled, wait until it has emptied the outboxes."""
    assert publisher.stdin
    try:
        log.error("the publisher exited with status %s; restarting it", await publisher.wait())
    finally:
        publisher.stdin.close()
        await publisher.wait()


if __name__ == "__main__":
    process.run(serve)
