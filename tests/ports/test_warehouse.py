"""Contract of the warehouse on every backend: every event once, windows without gap or overlap."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.local.event_log import END_OF_TIME
from banditloop.rl_core.backends.local.file_slices import BATCH_ROWS
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.testing.backends import WarehouseContract
from banditloop.rl_core.testing.backends.warehouse import assert_appends_are_idempotent
from tests.conftest import decisions, make_config
from tests.ports.conftest import BACKENDS, EveryBackend, backend_params, local


class TestWarehouse(EveryBackend, WarehouseContract):
    pass


@pytest.mark.parametrize("backend", backend_params(BACKENDS))
def test_any_order_and_repetition_of_appends_gives_the_same_tables(backend, tmp_path_factory):
    append = st.tuples(st.sampled_from(["decisions", "rewards"]), st.lists(st.sampled_from("abcdef")))

    @settings(max_examples=20 if backend is local else 3)
    @given(appends=st.lists(append, max_size=8))
    def check(appends):
        root = tmp_path_factory.mktemp("warehouse")
        assert_appends_are_idempotent(connect(backend(root, reward={"attribution_window_seconds": 3600.0})), appends)

    check()


@pytest.mark.parametrize(("candidates", "rows"), [(20, BATCH_ROWS + 1000), (1000, 6000)])
def test_local_batches_have_fewer_rows_where_decisions_have_many_candidates(tmp_path, candidates, rows):
    ids = [f"article-{number}" for number in range(candidates)]
    config, repeated = make_config(tmp_path, task={"actions": ids, "context": {"age": "number"}}), np.zeros(rows, int)
    columns = {"candidates": pa.array([ids]), "probabilities": pa.array([[1 / candidates] * candidates])}
    columns = {name: values.take(pa.array(repeated)) for name, values in columns.items()}
    warehouse, event_ids = connect(config).warehouse, [str(row) for row in range(rows)]
    warehouse.append(
        "decisions", decisions(event_ids, task=config.task, context={"age": 1.0}, action=ids[0], **columns)
    )
    batches = list(warehouse.interactions(Window(until=END_OF_TIME, interactions=rows)))
    assert sum(batch.num_rows for batch in batches) == rows
    assert (batches[0].num_rows == BATCH_ROWS) == (candidates == 20)
    assert max(batch.nbytes for batch in batches) < 150 << 20
