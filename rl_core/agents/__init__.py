"""Agents: how logged interactions become a policy."""

from rl_core.agents.agent import Additive, Agent, Batch, Model, certain
from rl_core.agents.arrays import SAVED_MODEL, STATISTICS, WEIGHTS, Arrays, read_arrays, write_arrays
from rl_core.agents.linucb import LinUCB
from rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy

AGENTS: dict[str, type[Agent]] = {"linucb": LinUCB, "neural_epsilon_greedy": NeuralEpsilonGreedy}

__all__ = [
    "AGENTS",
    "SAVED_MODEL",
    "STATISTICS",
    "WEIGHTS",
    "Additive",
    "Agent",
    "Arrays",
    "Batch",
    "LinUCB",
    "Model",
    "NeuralEpsilonGreedy",
    "certain",
    "read_arrays",
    "write_arrays",
]
