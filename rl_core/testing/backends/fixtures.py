"""The fixtures that describe the checked backend to the contract suites."""

from collections.abc import Callable

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.testing.events import TASK

Configure = Callable[..., Config]  # from sections that override the backend's usual ones, by keyword


class BackendFixtures:
    """Fixtures of the contract suites. A subclass, or the folder's conftest.py, adds the fixture `configure`."""

    @pytest.fixture
    def platform(self, configure: Configure) -> Platform:
        """The connected ports of a config for the task of banditloop.rl_core.testing.events."""
        return connect(configure(task=TASK.model_dump()))

    @pytest.fixture
    def pace(self) -> float:
        """How many times slower than one machine the platform is; attribution windows are stretched by it."""
        return 1.0

    @pytest.fixture
    def compacting(self) -> None:
        """Override it to skip the checks of many small appends, if the platform compacts its tables by itself."""
