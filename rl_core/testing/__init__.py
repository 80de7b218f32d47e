"""Conformance suites for environments, agents and backends of your own, run by pytest (extra `testing`)."""

import pytest

# Before any of them is imported, so that a failed assert shows its values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in ("agents", "backends", "environments", "environment_rewards", "merging", "planted", "sections")
    )
)
