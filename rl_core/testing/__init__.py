"""Components run alone, and conformance suites for agents, environments and backends of your own (extra `testing`)."""

import contextlib

from banditloop.rl_core.testing.components import run_component

__all__ = ["run_component"]

with contextlib.suppress(ImportError):  # only the suites need it
    import pytest

    # Before any of them is imported, so that a failed assert shows its values.
    pytest.register_assert_rewrite(
        *(
            f"{__name__}.{module}"
            for module in (
                "agents",
                "decisions",
                "backends",
                "environments",
                "episodic_environments",
                "environment_rewards",
                "merging",
                "planted",
                "sections",
                "sequential_agents",
                "training",
            )
        )
    )
