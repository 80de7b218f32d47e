"""The four ports of a platform: Warehouse, Bus, Endpoint and Runner, and the values they exchange.

Their docstrings are the contract; banditloop.rl_core.testing holds every backend to it. Unless stated otherwise, any
number of processes may call a port at the same time, and a process may be killed at any moment.
"""

from banditloop.rl_core.ports.bus import Bus, Handler
from banditloop.rl_core.ports.endpoint import (
    HEALTH_ROUTE,
    PREDICT_ROUTE,
    CloudResource,
    Endpoint,
    Vitals,
    action_counts,
)
from banditloop.rl_core.ports.platform import TRACES, ExperimentRun, Platform, Resource, ResourceState, Scalars
from banditloop.rl_core.ports.runner import Run, RunArtifact, Runner, RunState, RunTask, Schedule, TaskState, Trial
from banditloop.rl_core.ports.warehouse import EpisodeCounts, LogCounts, Warehouse

__all__ = [
    "HEALTH_ROUTE",
    "PREDICT_ROUTE",
    "TRACES",
    "Bus",
    "CloudResource",
    "Endpoint",
    "EpisodeCounts",
    "ExperimentRun",
    "Handler",
    "LogCounts",
    "Platform",
    "Resource",
    "ResourceState",
    "Run",
    "RunArtifact",
    "RunState",
    "RunTask",
    "Runner",
    "Scalars",
    "Schedule",
    "TaskState",
    "Trial",
    "Vitals",
    "Warehouse",
    "action_counts",
]
