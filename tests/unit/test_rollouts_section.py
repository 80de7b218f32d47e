"""The rollouts section: what it refuses, in one line."""

import sys

import pytest

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.rollouts import engine
from banditloop.rl_core.settings.rollouts import RolloutsSection
from tests.support.processes import free_port

CARTPOLE = {"environment": {"name": "cartpole"}, "agent": {"name": "dqn"}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (CARTPOLE | {"rollouts": {"engine": "dask"}}, "rollouts.engine = 'dask'"),
        (CARTPOLE | {"rollouts": {"address": "head:6379"}}, "rollouts.* address is for engine = 'ray'"),
        (CARTPOLE | {"rollouts": {"engine": "ray", "address": "head"}}, "rollouts.address = 'head'"),
        (CARTPOLE | {"rollouts": {"workers": 2}}, "rollouts.* workers is for engine = 'ray'"),
        ({"task": {"actions": 2}, "rollouts": {"engine": "ray"}}, "rollouts.engine = 'ray': plays episodes"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(values, message):
    with pytest.raises(InvalidInput, match=message):
        Config.parse(values)


def test_without_ray_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for variable in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(variable, "")
    with pytest.raises(InvalidInput, match=r"pip install 'banditloop\[ray\]'"), engine(RolloutsSection(engine="ray")):
        pass


def test_an_address_where_nobody_listens_is_refused_at_once():
    section = RolloutsSection(engine="ray", address=f"127.0.0.1:{free_port()}")
    with pytest.raises(InvalidInput, match=r"^rollouts\.address = '127.*: no Ray .* refused$"), engine(section):
        pass
