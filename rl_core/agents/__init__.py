"""Agents: how logged interactions become a policy."""

from rl_core.agents.agent import Agent, Arrays
from rl_core.agents.linucb import LinUCB

AGENTS: dict[str, type[Agent]] = {"linucb": LinUCB}

__all__ = ["AGENTS", "Agent", "Arrays", "LinUCB"]
