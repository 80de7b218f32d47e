"""Agents: learning algorithms that turn logged interactions into a policy."""

from banditloop.rl_core.agents.agent import (
    Agent,
    Batch,
    MergeableAgent,
    Model,
    append_zeros,
    best_actions,
    mergeable,
    one_hot,
)
from banditloop.rl_core.agents.arrays import (
    ACTION_FEATURES,
    SAVED_MODEL,
    SAVED_MODEL_PARTS,
    STATISTICS,
    WEIGHTS,
    Statistics,
    check_shapes,
    read_arrays,
    write_arrays,
)
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy

AGENTS: dict[str, type[Agent]] = {"linucb": LinUCB, "neural_epsilon_greedy": NeuralEpsilonGreedy}

__all__ = [
    "ACTION_FEATURES",
    "AGENTS",
    "SAVED_MODEL",
    "SAVED_MODEL_PARTS",
    "STATISTICS",
    "WEIGHTS",
    "Agent",
    "Batch",
    "LinUCB",
    "MergeableAgent",
    "Model",
    "NeuralEpsilonGreedy",
    "Statistics",
    "append_zeros",
    "best_actions",
    "check_shapes",
    "mergeable",
    "one_hot",
    "read_arrays",
    "write_arrays",
]
