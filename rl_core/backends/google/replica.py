"""A replica of the custom job that trains: python -m rl_core.backends.google.replica EXAMPLES WORK.

It has the config in $BANDITLOOP_CONFIG, as a function has, and Vertex AI says in $CLUSTER_SPEC which replica it is.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from rl_core.backends import service
from rl_core.config import Config
from rl_core.shares import train_share

ALONE = '{"cluster": {"workerpool0": [""]}, "task": {"type": "workerpool0", "index": 0}}'


def share(spec: dict[str, Any]) -> tuple[int, int]:
    """Which replica this is, and of how many: that of the first pool, then those of the others."""
    pools = [(pool, index) for pool, hosts in sorted(spec["cluster"].items()) for index in range(len(hosts))]
    return pools.index((spec["task"]["type"], int(spec["task"]["index"]))), len(pools)


def serve(config: Config) -> None:
    """Train the share that is this replica's."""
    examples, work = map(Path, sys.argv[1:])
    train_share(config, examples, work, *share(json.loads(os.environ.get("CLUSTER_SPEC", ALONE))))


if __name__ == "__main__":
    service.run(serve)
