"""The sample-ratio check: a canary that does not get its share is told, and one that does is not."""

import numpy as np
import pytest

from banditloop.rl_core.evidence.sample_ratio import SampleRatioTest


def test_a_canary_at_20_percent_that_gets_12_is_told_within_20_000_interactions():
    random = np.random.default_rng(0)
    for _ in range(20):
        test, looks = SampleRatioTest(), 0
        while not test.rejects():
            test, looks = test.add(random.random(500) < 0.12, np.full(500, 0.2)), looks + 1
        assert 10_000 <= 500 * looks <= 20_000
    assert test.warning("v2").startswith("v2 answered 12.")
    assert test.warning("v2").endswith("interactions, where 20.0% were to be expected")


def test_it_is_told_when_it_gets_none_and_when_it_gets_too_much():
    for answers in (np.zeros(6000, bool), np.arange(9000) % 3 == 0):
        assert SampleRatioTest().add(answers, np.full(len(answers), 0.2)).rejects()


@pytest.mark.parametrize(("users", "visits"), [(100, 50), (20_000, 1)])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_users_who_stay_with_their_version_raise_few_false_warnings(users, visits, share):
    """1,000 canaries: at most 10 false warnings are expected, 21 with probability 1e-3."""
    random, warnings = np.random.default_rng(1), 0
    for _ in range(1000):
        test = SampleRatioTest().add(np.repeat(random.random(users) < share, visits), np.full(users * visits, share))
        warnings += test.rejects()
    assert warnings <= 21


def test_shares_that_change_are_each_accounted_for():
    random = np.random.default_rng(2)
    shares = np.repeat([0.01, 0.2, 0.9], 20_000)
    test = SampleRatioTest().add(random.random(60_000) < shares, shares)
    assert not test.rejects()
    assert test.warning("v2") == ""
    assert (test.count, test.expected) == (60_000, pytest.approx(shares.sum()))
