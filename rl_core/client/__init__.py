"""Clients of the endpoint: decisions, and the rewards that they earn later.

A request is sent again while the server is starting, overloaded or unreachable. It carries an id, so that a repeated
one gets the same decisions, and nothing is logged twice.
"""

from banditloop.rl_core.client.async_client import AsyncClient
from banditloop.rl_core.client.client import Client
from banditloop.rl_core.client.requests import Options, RewardOptions, Unavailable
from banditloop.rl_core.events.decision import Decision

__all__ = ["AsyncClient", "Client", "Decision", "Options", "RewardOptions", "Unavailable"]
