"""Counts in shared memory: each worker has its own rows, which outlive it and are dropped by kind."""

import tempfile
import time

import pytest

from banditloop.rl_core.serving.worker_counts import (
    ROWS,
    SERVING,
    SILENT_SECONDS,
    STOPPED,
    WAITING,
    WorkerCounts,
    counts_bytes,
)


@pytest.fixture
def file():
    with tempfile.TemporaryFile() as file:
        file.truncate(counts_bytes(2))
        yield file.fileno()


def first_values(counts, kind):
    return {
        name: {worker: row[0] for worker, row in by_worker.items()} for name, by_worker in counts.by_name(kind).items()
    }


def test_all_workers_see_the_counts_of_each_and_the_next_one_counts_on(file):
    first, second = (WorkerCounts(worker, 2, file) for worker in (0, 1))
    for counts, times in (first, 3), (second, 4):
        for _ in range(times):
            counts.row("request", "200 /predict")[0] += 1
    second.row("version", "v1")[0] += 1
    assert first_values(first, "request") == first_values(second, "request") == {"200 /predict": {0: 3, 1: 4}}
    first.stopped(1)
    assert first_values(first, "version") == {"v1": {1: 1}}
    WorkerCounts(1, 2, file).row("request", "200 /predict")[0] += 1
    assert first_values(first, "request") == {"200 /predict": {0: 3, 1: 5}}


def test_the_rows_of_dropped_names_are_used_again_and_begin_at_zero():
    counts = WorkerCounts()
    for number in range(3 * ROWS):
        late = counts.row("version", str(number))
        late[0] = 1
        counts.keep("version", [str(number)])
        assert first_values(counts, "version") == {str(number): {0: 1}}
    counts.keep("version", [])
    late[0] = 7  # by a decision that was under way
    assert counts.row("version", "new")[0] == 0
    assert first_values(counts, "version") == {"new": {0: 0}}


def test_the_states_of_workers(file):
    first, second = (WorkerCounts(worker, 2, file) for worker in (0, 1))
    assert first.states() == [STOPPED, STOPPED]
    first.beat(is_serving=True)
    second.beat(is_serving=False)
    assert second.states() == [SERVING, WAITING]
    assert (second.beats(0), second.beats(1)) == (1, 1)
    second.stopped(0)
    assert first.states() == [STOPPED, WAITING]


def test_a_worker_that_is_silent_is_left_no_connections(file, monkeypatch):
    """Each would wait for it in vain."""
    first, second, now = WorkerCounts(0, 2, file), WorkerCounts(1, 2, file), time.monotonic()
    for counts in (first, second):
        counts.beat(is_serving=True)
    assert not first.holds_more(1)
    assert first.holds_more(2)
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * SILENT_SECONDS)
    first.beat(is_serving=True)
    assert not first.holds_more(2)
    second.beat(is_serving=True)
    assert first.holds_more(2)
