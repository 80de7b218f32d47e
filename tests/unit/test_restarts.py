"""Processes that end or cannot be started are started again, after pauses that grow while they do not settle."""

import asyncio
import errno

import pytest

from banditloop.rl_core.serving import outbox_publisher, restarts, workers
from banditloop.rl_core.serving.worker_counts import WorkerCounts


class Enough(Exception):
    """Raised in place of the last pause."""


@pytest.fixture
def pauses(monkeypatch):
    """The pauses of restarts, which take no time; the fourth raises Enough."""
    found = []

    async def pause(seconds):
        found.append(seconds)
        if len(found) == 4:
            raise Enough

    monkeypatch.setattr(restarts.asyncio, "sleep", pause)
    return found


@pytest.mark.parametrize("command", [["false"], ["no-such-command"]])
def test_a_worker_that_ends_at_once_is_started_less_and_less_often(pauses, command):
    with pytest.raises(Enough):
        asyncio.run(workers._keep_worker(0, command, (0, 0), WorkerCounts()))
    assert pauses == [0.5, 1.0, 2.0, 4.0]


def test_a_worker_that_had_settled_is_started_soon(pauses, monkeypatch):
    monkeypatch.setattr(restarts, "SETTLED_SECONDS", 0.0)
    with pytest.raises(Enough):
        asyncio.run(workers._keep_worker(0, ["false"], (0, 0), WorkerCounts()))
    assert pauses == [0.5] * 4


def test_a_publisher_that_cannot_be_started_is_tried_again(pauses, monkeypatch, caplog):
    start, attempts = asyncio.create_subprocess_exec, []

    async def refused_once(*command, **options):
        attempts.append(command)
        if len(attempts) == 1:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return await start("false", **options)

    monkeypatch.setattr(outbox_publisher.asyncio, "create_subprocess_exec", refused_once)
    with pytest.raises(Enough):
        asyncio.run(outbox_publisher.keep_publishing())
    assert len(attempts) == len(pauses) == 4
    assert (
        f"the publisher cannot be started: [Errno {errno.EAGAIN}] Resource temporarily unavailable" in caplog.messages
    )
    assert caplog.messages.count("the publisher exited with status 1; restarting it") == 3
