"""Contract of the warehouse on every backend: every event once, windows without gap or overlap."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banditloop.rl_core.backends import connect
from banditloop.rl_core.testing.backends import WarehouseContract
from banditloop.rl_core.testing.backends.warehouse import assert_appends_are_idempotent
from tests.ports.conftest import BACKENDS, EveryBackend, backend_params, local


class TestWarehouse(EveryBackend, WarehouseContract):
    pass


@pytest.mark.parametrize("backend", backend_params(BACKENDS))
def test_any_order_and_repetition_of_appends_gives_the_same_tables(backend, tmp_path_factory):
    append = st.tuples(st.sampled_from(["decisions", "rewards"]), st.lists(st.sampled_from("abcdef")))

    @settings(max_examples=20 if backend is local else 3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(appends=st.lists(append, max_size=8))
    def check(appends):
        root = tmp_path_factory.mktemp("warehouse")
        assert_appends_are_idempotent(connect(backend(root, reward={"attribution_window_seconds": 3600.0})), appends)

    check()
