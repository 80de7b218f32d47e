"""The logger function on Google Cloud's emulators, ticked every minute, beside two busy predictors for five minutes."""

import tempfile
import time
from pathlib import Path

from banditloop.rl_core.backends import connect
from tests.benchmarks.ratio import Row, at_most
from tests.ports.conftest import google
from tests.support.busy_replicas import RATE, REPLICAS, feed, logged_once, serve
from tests.support.logger_function import logger_function
from tests.support.processes import wait_until

SECONDS, TICK_SECONDS = 300, 60.0


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        bus = {"publish_seconds": 2.0, "lease_seconds": 10.0}
        config = google(Path(folder), bus=bus, backend={"min_replicas": REPLICAS})
        with logger_function(config, TICK_SECONDS):
            replicas, start = serve(config, Path(folder)), time.monotonic()
            decisions, end = feed(replicas, SECONDS), time.monotonic()
            assert decisions == REPLICAS * RATE * SECONDS
            platform = connect(config)
            wait_until(lambda: logged_once(platform, decisions), 4 * TICK_SECONDS)
            behind = time.monotonic() - end
    name = f"cloud log: {decisions:,} decisions and as many rewards in {end - start:.0f} s, each once, none dead"
    return [at_most(name, [behind], "seconds until all are logged", 2 * TICK_SECONDS)]
