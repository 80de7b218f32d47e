"""The logger function on Google Cloud's emulators, ticked once a minute, under two busy replicas for five minutes."""

import tempfile
import time
from pathlib import Path

from banditloop.rl_core.backends import connect
from tests.benchmarks.ratio import Row, at_most
from tests.ports.conftest import google
from tests.support.busy_replicas import RATE, REPLICAS, logged_once, publish
from tests.support.logger_function import logger_function
from tests.support.processes import wait_until

SECONDS, TICK_SECONDS = 300, 60.0


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        config = google(Path(folder), bus={"publish_seconds": 2.0, "lease_seconds": 10.0})
        with logger_function(config, TICK_SECONDS):
            decisions = publish(config, SECONDS)
            assert decisions == REPLICAS * RATE * SECONDS
            platform, end = connect(config), time.monotonic()
            wait_until(lambda: logged_once(platform, decisions), 4 * TICK_SECONDS)
            behind = time.monotonic() - end
    name = f"cloud log: {decisions:,} decisions and as many rewards in {SECONDS} s, each once, none dead"
    return [at_most(name, [behind], "seconds until all are logged", 2 * TICK_SECONDS)]
