"""Decisions of every agent's policy beside its SavedModel called as TF-Agents has it: with tensors of a fixed shape."""

import tempfile
from pathlib import Path

import numpy as np

from rl_core.agents import Agent, LinUCB, NeuralEpsilonGreedy
from rl_core.policy import SavedPolicy
from rl_core.tf import tf
from tests.benchmarks.ratio import Row, times_faster
from tests.conftest import make_policy

# isort: split
from tf_agents.trajectories import time_step

TIMES = 20
TARGETS = {LinUCB(): (8, 8, 2), NeuralEpsilonGreedy(): (1, 1, 1)}  # at batches of 1, 8 and 512


def rows() -> list[Row]:
    return [row for agent, targets in TARGETS.items() for row in _rows(agent, targets)]


def _rows(agent: Agent, targets: tuple[int, ...]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        make_policy(Path(folder) / "policy", agent=agent)
        policy = SavedPolicy.load(Path(folder) / "policy")
        model = tf.saved_model.load(str(Path(folder) / "policy" / "saved_model"))
    random = np.random.default_rng(0)
    found = []
    for batch, target in zip((1, 8, 512), targets, strict=True):
        observations = random.normal(size=(batch, 20)).astype(np.float32)
        step = time_step.restart(tf.constant(observations), batch)
        found.append(
            times_faster(
                f"decide: SavedModel of {agent.name}, batch {batch}",
                lambda asked=observations: [policy.decide(asked, random.random(len(asked))) for _ in range(TIMES)],
                lambda asked=step: [model.action(asked) for _ in range(TIMES)],
                target,
            )
        )
    return found
