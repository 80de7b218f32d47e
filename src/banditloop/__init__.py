"""banditloop: decisions that keep learning in production, as a library of Kubeflow Pipelines components."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from banditloop.rl_core.client import AsyncClient as AsyncClient
    from banditloop.rl_core.client import Client as Client


def __getattr__(name: str) -> Any:
    """Client and AsyncClient, imported only where they are used: parts of the loop need no HTTP client."""
    if name in ("Client", "AsyncClient"):
        from banditloop.rl_core import client

        return getattr(client, name)
    raise AttributeError(f"module 'banditloop' has no attribute {name!r}")
