"""Exact LinUCB training beside TF-Agents' own agent, an interaction for an interaction."""

import numpy as np

from rl_core.agents import Batch, LinUCB
from rl_core.agents.trajectories import trajectories
from rl_core.tf import tf
from tests.benchmarks.ratio import Row, times_faster

# isort: split
from tf_agents.bandits.agents.lin_ucb_agent import LinearUCBAgent
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step
from tf_agents.utils import common

DIM, ACTIONS, BATCH, MANY = 20, 20, 512, 500_000


def rows() -> list[Row]:
    random = np.random.default_rng(0)
    observations = random.normal(size=(MANY, DIM)).astype(np.float32)
    actions = random.integers(ACTIONS, size=MANY).astype(np.int32)
    rewards = random.normal(size=MANY).astype(np.float32)
    agent = LinUCB()

    theirs = LinearUCBAgent(
        time_step.time_step_spec(tensor_spec.TensorSpec([DIM], tf.float32)),
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, ACTIONS - 1),
    )
    info = theirs.training_data_spec.policy_info
    batch = trajectories(observations[:BATCH], actions[:BATCH], rewards[:BATCH], info)
    compiled = common.function(theirs.train)

    def ours() -> None:
        agent.accumulate(agent.start(DIM, ACTIONS), Batch(observations, actions, rewards))

    work = MANY / BATCH
    return [
        times_faster("train: TF-Agents, eager", ours, lambda: theirs.train(batch), 100, work),
        times_faster("train: TF-Agents, compiled", ours, lambda: compiled(batch), 20, work),
    ]
