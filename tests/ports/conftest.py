"""The contract suite: what rl_core.backends promises, held against every backend, one file for each port.

A backend joins by adding to BACKENDS how its config is made, from a folder of its own and sections to override.
"""

from pathlib import Path

import pytest

from rl_core.backends import Platform, connect
from rl_core.config import Config
from tests.conftest import make_config


def local(root: Path, **sections) -> Config:
    return make_config(root, backend={"root": str(root / "a loop, ü #1"), "lease_seconds": 0.2}, **sections)


BACKENDS = {"local": local}


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def configure(request, tmp_path):
    """Makes a config of the backend, with sections to override."""
    return lambda **sections: request.param(tmp_path, **sections)


@pytest.fixture
def platform(configure) -> Platform:
    return connect(configure())
