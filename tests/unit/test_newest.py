"""The newest part of a log: never more than asked for, about as much where time divides it, and the end of the log."""

import bisect
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.reports.newest import newest

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def log(times):
    """A warehouse of interactions logged at some times, sorted, which counts them."""

    def window(since):
        later = len(times) - (bisect.bisect_right(times, since) if since else 0)
        return Window(since=since, until=times[-1], interactions=later)

    return SimpleNamespace(window=window)


@pytest.mark.parametrize("since", [None, NOW - timedelta(days=400)])
@pytest.mark.parametrize("seed", range(3))
def test_the_newest_part_has_at_most_so_many_and_half_of_them_at_least(seed, since):
    random = np.random.default_rng(seed)
    seconds = np.cumsum(random.exponential(10.0 ** random.integers(0, 4, 5000)))
    times = [NOW - timedelta(seconds=float(second)) for second in seconds[::-1]]
    for until in (times[-1], times[2500]):
        part = newest(log(times), Window(since=since, until=until, interactions=0), 500)
        assert part.until == until
        assert 250 <= part.interactions <= 500
        assert part.interactions == sum(part.since < time <= until for time in times)


def test_a_log_that_is_small_enough_is_read_whole_and_one_moment_is_not_divided():
    times = [NOW - timedelta(days=1)] * 300 + [NOW] * 40
    for since in (None, NOW - timedelta(days=2)):
        window = Window(since=since, until=NOW, interactions=0)
        assert newest(log(times), window, 340) == window.model_copy(update={"interactions": 340})
        assert newest(log(times), window, 300).interactions == 40
        assert newest(log(times), window, 30).interactions == 0
