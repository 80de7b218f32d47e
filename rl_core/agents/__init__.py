"""Agents: learning algorithms that turn logged interactions into a policy."""

from banditloop.rl_core.agents.agent import Agent, Batch, MergeableAgent, Model, one_hot
from banditloop.rl_core.agents.arrays import SAVED_MODEL, STATISTICS, WEIGHTS, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy

AGENTS: dict[str, type[Agent]] = {"linucb": LinUCB, "neural_epsilon_greedy": NeuralEpsilonGreedy}

__all__ = [
    "AGENTS",
    "SAVED_MODEL",
    "STATISTICS",
    "WEIGHTS",
    "Agent",
    "Batch",
    "LinUCB",
    "MergeableAgent",
    "Model",
    "NeuralEpsilonGreedy",
    "Statistics",
    "one_hot",
    "read_arrays",
    "write_arrays",
]
