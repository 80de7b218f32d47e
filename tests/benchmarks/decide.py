"""Decisions of every agent's policy compared with its SavedModel, called like TF-Agents with a fixed tensor shape."""

import tempfile
from pathlib import Path

import numpy as np

from banditloop.rl_core.agents import Agent
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.tf import tf
from tests.benchmarks.ratio import Row, at_most, seconds, times_faster
from tests.conftest import make_policy

# isort: split
from tf_agents.trajectories import time_step

CALLS = 20
TARGETS: dict[Agent, tuple[int, ...]] = {  # at batches of 1, 8 and 512
    LinearThompson(): (3, 3, 2),
    LinUCB(): (8, 8, 2),
    NeuralEpsilonGreedy(): (1, 1, 1),
}


def rows() -> list[Row]:
    return [_many_candidates(), *(row for agent, targets in TARGETS.items() for row in _rows(agent, targets))]


def _many_candidates() -> Row:
    """Milliseconds of one decision of the default agent among 1,000 candidates, of which any may win."""
    with tempfile.TemporaryDirectory() as folder:
        make_policy(Path(folder) / "policy", actions=1000, agent=LinearThompson())
        policy = SavedPolicy.load(Path(folder) / "policy")
    observations = np.random.default_rng(0).normal(size=(CALLS, 20)).astype(np.float32)
    half = np.full(1, 0.5)
    times = [1e3 * seconds(lambda row=row: policy.decide(row[None], half)) for row in observations]
    return at_most("decide: linear_thompson among 1,000 candidates", times, "ms", 2.0)


def _rows(agent: Agent, targets: tuple[int, ...]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        make_policy(Path(folder) / "policy", agent=agent, saved_model=True)
        policy = SavedPolicy.load(Path(folder) / "policy")
        model = tf.saved_model.load(str(Path(folder) / "policy"))
    random = np.random.default_rng(0)
    results = []
    for batch_size, target in zip((1, 8, 512), targets, strict=True):
        observations = random.normal(size=(batch_size, 20)).astype(np.float32)
        step = time_step.restart(tf.constant(observations), batch_size)
        results.append(
            times_faster(
                f"decide: SavedModel of {agent.name}, batch {batch_size}",
                lambda batch=observations: [policy.decide(batch, random.random(len(batch))) for _ in range(CALLS)],
                lambda step=step: [model.action(step) for _ in range(CALLS)],
                target,
            )
        )
    return results
