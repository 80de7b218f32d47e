"""Exact LinUCB training compared with TF-Agents' own agent, per interaction."""

import numpy as np

from banditloop.rl_core.agents import Batch
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.events.trajectories import trajectories
from banditloop.rl_core.tf import tf
from tests.benchmarks.ratio import Row, times_faster

# isort: split
from tf_agents.bandits.agents.lin_ucb_agent import LinearUCBAgent
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step
from tf_agents.utils import common

DIM, ACTIONS, BATCH, INTERACTIONS = 20, 20, 512, 500_000


def rows() -> list[Row]:
    random = np.random.default_rng(0)
    observations = random.normal(size=(INTERACTIONS, DIM)).astype(np.float32)
    actions = random.integers(ACTIONS, size=INTERACTIONS).astype(np.int32)
    rewards = random.normal(size=INTERACTIONS).astype(np.float32)
    agent = LinUCB()

    theirs = LinearUCBAgent(
        time_step.time_step_spec(tensor_spec.TensorSpec([DIM], tf.float32)),
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, ACTIONS - 1),
    )
    info = theirs.training_data_spec.policy_info
    batch = trajectories(observations[:BATCH], actions[:BATCH], rewards[:BATCH], info)
    compiled = common.function(theirs.train)

    def ours() -> None:
        agent.accumulate(agent.initial_statistics(DIM, ACTIONS), Batch(observations, actions, rewards))

    work = INTERACTIONS / BATCH
    return [
        times_faster("train: TF-Agents, eager", ours, lambda: theirs.train(batch), 100, work),
        times_faster("train: TF-Agents, compiled", ours, lambda: compiled(batch), 20, work),
    ]
