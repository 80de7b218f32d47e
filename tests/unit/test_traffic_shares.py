"""The shares of the traffic with which versions were to answer, from the shares logged with each decision."""

import numpy as np
import pyarrow as pa

from banditloop.rl_core.evaluation.traffic_shares import answering_shares, without_shares_before

CHAMPION, FIRST, SECOND = 0, 1, 2


def test_the_rest_of_a_share_is_that_of_the_nearest_other_version_with_it():
    logged_by = np.repeat([CHAMPION, FIRST, CHAMPION, SECOND, CHAMPION], [200, 40, 200, 40, 20])
    shares = np.repeat([0.8, 0.2, 0.8, 0.2, 1.0], [200, 40, 200, 40, 20])
    mix = answering_shares(logged_by, shares, 3)
    np.testing.assert_allclose(mix[:200], [[0.8, 0.2, 0.0]] * 200)
    np.testing.assert_allclose(mix[200:240], [[0.8, 0.2, 0.0]] * 40)
    np.testing.assert_allclose(mix[240:339], [[0.8, 0.2, 0.0]] * 99)
    np.testing.assert_allclose(mix[341:480], [[0.8, 0.0, 0.2]] * 139)
    np.testing.assert_allclose(mix[480:], [[1.0, 0.0, 0.0]] * 20)


def test_an_unknown_or_whole_share_is_that_of_the_own_version():
    mix = answering_shares(np.array([CHAMPION, FIRST, CHAMPION]), np.array([np.nan, np.nan, 1.0]), 2)
    np.testing.assert_allclose(mix, [[1, 0], [0, 1], [1, 0]])


def test_too_few_rows_do_not_select_a_mixture_by_who_answered():
    """At 1 % of 100 rows, the other version has no row in a third of all logs: no row may tell which it was."""
    logged_by, shares = np.repeat([CHAMPION, FIRST], [99, 1]), np.repeat([0.99, 0.01], [99, 1])
    assert (answering_shares(logged_by, shares, 2).max(axis=1) == 1).all()


def test_the_version_that_is_known_to_share_the_traffic_needs_no_row():
    mix = answering_shares(np.full(10, CHAMPION), np.full(10, 0.9), 2, sharing=(CHAMPION, FIRST))
    np.testing.assert_allclose(mix, [[0.9, 0.1]] * 10)


def test_equal_shares_belong_to_both_versions():
    logged_by = np.arange(100) % 2
    assert (answering_shares(logged_by, np.full(100, 0.5), 2) == 0.5).all()


def test_shares_of_versions_that_were_chosen_before_the_last_row_of_one_that_is_gone_are_unknown():
    """Also that of an episode that ended later; rows may come in another order than that of time."""
    rows = pa.table(
        {
            "timestamp": pa.array([3, 5, 4, 8], pa.timestamp("us", "UTC")),
            "assignment_share": [0.2, 0.8, 0.8, 0.8],
        }
    )
    gone, assigned = np.array([True, False, False, False]), np.array([3, 2, 4, 7], "datetime64[us]")
    shares = without_shares_before(rows, gone, assigned)["assignment_share"].to_numpy()
    np.testing.assert_array_equal(shares, [np.nan, np.nan, 0.8, 0.8])
    assert without_shares_before(rows, np.zeros(4, bool), assigned) == rows
