"""Decisions of the arrays beside those of the SavedModel, called as it likes best: with tensors of a fixed shape."""

import tempfile
from pathlib import Path

import numpy as np

from rl_core.policy import SavedPolicy
from rl_core.tf import tf
from tests.benchmarks.ratio import Row, times_faster
from tests.conftest import make_policy

# isort: split
from tf_agents.trajectories import time_step

TIMES = 20


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        make_policy(Path(folder) / "policy")
        policy = SavedPolicy.load(Path(folder) / "policy")
        model = tf.saved_model.load(str(Path(folder) / "policy" / "saved_model"))
    random = np.random.default_rng(0)
    found = []
    for batch, target in ((1, 8), (8, 8), (512, 2)):
        observations = random.normal(size=(batch, 20)).astype(np.float32)
        step = time_step.restart(tf.constant(observations), batch)
        found.append(
            times_faster(
                f"decide: SavedModel, batch {batch}",
                lambda asked=observations: [policy.decide(asked, random.random(len(asked))) for _ in range(TIMES)],
                lambda asked=step: [model.action(asked) for _ in range(TIMES)],
                target,
            )
        )
    return found
