"""The publisher: what outboxes hold, to the bus. A process of its own beside the predictor.

In a thread of the predictor it would take the interpreter from requests: a seventh of the rate, and most of the 99th
percentile. The bus sees messages at least once.
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

from rl_core.backends import Bus, connect, service
from rl_core.backends.outbox import send
from rl_core.config import Config

TOPICS = ("decisions", "rewards")
RETRY_SECONDS, WAIT_SECONDS = 1.0, 10.0
NICE, REST = 10, 4  # answering requests comes first: after each message it rests four times as long as that took
log = logging.getLogger("banditloop.publisher")


def outbox_folder(scratch: Path, topic: str) -> Path:
    """Where the events of a topic wait."""
    return scratch / "outbox" / topic


def serve(config: Config) -> None:
    """Publish until standard input closes, with the process at its other end, and then once more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the predictor, which then lets go of this process
    os.nice(NICE)
    platform = connect(config)
    going = True
    while going:
        going = not _closes_within(config.backend.publish_seconds)
        for topic in TOPICS:
            try:
                publish = functools.partial(_publish, platform.bus, topic, REST if going else 0)
                send(outbox_folder(platform.scratch, topic), publish, wait=0.0 if going else WAIT_SECONDS)
            except Exception as error:  # whatever it is, the files stay and the next round tries again
                log.warning("%s: not all published, will try again: %r", topic, error)
                _closes_within(RETRY_SECONDS)


def _publish(bus: Bus, topic: str, rest: int, message: bytes) -> None:
    before = time.process_time()
    bus.publish(topic, message)
    time.sleep(rest * (time.process_time() - before))


def _closes_within(seconds: float) -> bool:
    return bool(select.select([sys.stdin], [], [], seconds)[0])


async def keep_publishing() -> None:
    """Keep a publisher running, with $BANDITLOOP_CONFIG. Cancelled, it waits until what outboxes hold is published.

    Should this process die without a word, its publisher does the same.
    """
    while True:
        command = sys.executable, "-m", "rl_core.backends.publisher"
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        assert process.stdin
        try:
            log.error("the publisher died (%s); starting another", await process.wait())
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            process.stdin.close()
            await process.wait()


if __name__ == "__main__":
    service.run(serve)
