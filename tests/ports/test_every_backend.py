"""The contract suites cover every registered backend and runner."""

from banditloop.rl_core.settings.backend import BACKENDS
from tests.ports import conftest


def test_contract_suites_cover_every_backend():
    assert set(conftest.BACKENDS) == set(BACKENDS)


def test_contract_suites_cover_every_runner():
    runner_names = {"local": "local", "google": "vertex", "kfp": "kfp"}
    assert set(conftest.RUNNERS) == set(runner_names)
    assert {runner for backend in BACKENDS.values() for runner in backend.RUNNERS} == set(runner_names.values())
