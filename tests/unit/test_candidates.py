"""Candidates of decisions, from lists and from the log, and the features that they were seen with."""

import tracemalloc
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.actions_seen import FILE, ActionsSeen
from banditloop.rl_core.events.candidates import (
    MAX_MASK,
    Candidates,
    action_positions,
    logged_candidates,
    logged_ids,
    logged_probabilities,
)
from banditloop.rl_core.events.rows import decision_table
from tests.conftest import vector_task


def table(candidates, probabilities, actions):
    rows = len(actions)
    return decision_table(
        vector_task(2, 3),
        event_id=[str(row) for row in range(rows)],
        timestamp=datetime.now(UTC),
        policy_version="v",
        context=[{"observation": [1.0, 2.0]}] * rows,
        action=actions,
        propensity=0.5,
        candidates=candidates,
        probabilities=probabilities,
    )


def test_features_whose_decision_is_not_known_are_the_oldest(tmp_path):
    """Those of a file of an earlier version, which had no decisions."""
    old = {"ids": ["a", "b"], "features": {"a": {"price": 1.0}, "b": {"price": 2.0}}}
    (tmp_path / FILE).write_bytes(orjson.dumps(old))
    read, time = ActionsSeen.read(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    new = ActionsSeen({"a"}, {"a": {"price": 3.0}}, {"a": (time, "x")})
    for parts in ([read], [read, new], [new, read]):
        whole = ActionsSeen.of(parts)
        assert whole.ids == {"a", "b"}
        assert whole.features == old["features"] | (new.features if new in parts else {})
        whole.write(tmp_path)
        assert ActionsSeen.read(tmp_path) == whole


def test_listed_candidates_are_sorted_whatever_the_order_of_the_lists():
    candidates = Candidates.of_lists([["b", "a"], ["c"], ["a", "c"]])
    assert candidates.ids == ("a", "b", "c")
    np.testing.assert_array_equal(candidates.mask(3), [[1, 1, 0], [0, 0, 1], [1, 0, 1]])
    assert Candidates.of_lists([["b", "a"], ["c"]], order="cba".index).ids == ("c", "b", "a")
    assert Candidates.of_lists([["a", "b"], ["b", "a"]]).eligible is None
    np.testing.assert_array_equal(candidates.take([1, 2]).mask(2), [[0, 0, 1], [1, 0, 1]])


def test_decisions_with_too_many_different_candidates_are_refused():
    """10,000 decisions may choose from the same 1,000; nothing of their product is allocated where it is larger."""
    same = [str(number) for number in range(1000)]
    assert Candidates.of_lists([same[:999], *[same] * 9_999]).mask(10_000).sum() == MAX_MASK - 1
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="request: 10,000 contexts with 10,000 different candidates altogether"):
        Candidates.of_lists([[str(number)] for number in range(10_000)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_rows_that_list_none_may_choose_all_numbered_actions():
    logged = table([[], ["2", "0"], []], [[0.5, 0.2, 0.3], [0.4, 0.6], [0.25] * 4], ["0", "2", "3"])
    ids = logged_ids(logged)
    assert ids == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(logged_candidates(logged, ids).mask(3), [[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(logged_probabilities(logged, ids), [[0.5, 0.2, 0.3, 0], [0.6, 0, 0.4, 0], [0.25] * 4])
    np.testing.assert_array_equal(action_positions(logged, ids), [0, 2, 3])


def test_named_actions_are_sorted_and_may_be_looked_up_among_more():
    logged = table([["sport", "news"], ["music"]], [[0.4, 0.6], [1.0]], ["news", "music"])
    ids = logged_ids(logged)
    assert ids == ["music", "news", "sport"]
    more = ["art", *ids]
    np.testing.assert_array_equal(logged_probabilities(logged, more), [[0, 0, 0.6, 0.4], [0, 1, 0, 0]])
    np.testing.assert_array_equal(action_positions(logged, ["news"]), [0, -1])


def test_candidates_and_probabilities_of_different_lengths_are_named():
    with pytest.raises(InvalidInput, match="interaction 0: 2 candidates with 1 probabilities"):
        logged_probabilities(table([["a", "b"]], [[1.0]], ["a"]), ["a", "b"])


def test_numbers_that_rows_need_not_list_have_their_positions_by_id():
    """As where a task got numbered actions after named ones, and ids are collected in the order of the log."""
    logged = table([[], ["b", "0"]], [[0.1, 0.9], [0.3, 0.7]], ["1", "b"])
    np.testing.assert_array_equal(logged_probabilities(logged, ["b", "1", "0"]), [[0, 0.9, 0.1], [0.3, 0, 0.7]])
