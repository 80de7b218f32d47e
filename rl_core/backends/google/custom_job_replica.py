"""The process of one replica of the training job. Arguments: the folder of examples and the folder of checkpoints.

The config is in $BANDITLOOP_CONFIG. Vertex AI describes the replicas, and which of them this is, in $CLUSTER_SPEC.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from banditloop.rl_core import process
from banditloop.rl_core.config import Config
from banditloop.rl_core.training.shards import train_shard

SINGLE_REPLICA = '{"cluster": {"workerpool0": [""]}, "task": {"type": "workerpool0", "index": 0}}'


def shard(spec: dict[str, Any]) -> tuple[int, int]:
    """This replica's shard number and the number of shards. The first pool has shard 0, the other pools follow."""
    replicas = [(pool, index) for pool, hosts in sorted(spec["cluster"].items()) for index in range(len(hosts))]
    return replicas.index((spec["task"]["type"], int(spec["task"]["index"]))), len(replicas)


def serve(config: Config) -> None:
    """Train this replica's shard."""
    examples, work = map(Path, sys.argv[1:])
    train_shard(config, examples, work, *shard(json.loads(os.environ.get("CLUSTER_SPEC", SINGLE_REPLICA))))


if __name__ == "__main__":
    process.run(serve)
