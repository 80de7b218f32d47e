"""The parent process of the predictor's workers: it starts them, restarts those that end or hang, and publishes.

All workers accept connections from one socket, which they inherit. Where each had a socket of its own (SO_REUSEPORT),
macOS would give all connections to one of them, and on Linux the connections that wait for a worker would be lost when
it dies. This process never accepts: it only keeps the socket open while a worker is replaced.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence

from banditloop.rl_core.serving.outbox_publisher import keep_publishing
from banditloop.rl_core.serving.restarts import Restarts
from banditloop.rl_core.serving.worker_counts import WorkerCounts, counts_bytes

CHECK_SECONDS, PATIENCE_SECONDS = 5.0, 60.0  # between two checks of a worker; until one that hangs is killed
STOP_SECONDS = 8.0  # for a worker to finish its requests
WRONG_INPUT = 2  # exit status of a worker whose config is wrong: another start would not help
CRASHED = 1  # exit status after an unexpected error
log = logging.getLogger("banditloop.predictor")


def run_workers(command: Sequence[str], listener: socket.socket, workers: int) -> None:
    """Keep workers and one publisher running until SIGTERM or SIGINT.

    command: starts a worker, once its number and its file descriptors of the listener and of the counts are added.
    """
    with tempfile.TemporaryFile() as file:
        file.write(bytes(counts_bytes(workers)))  # no sparse file: a full disk could not back its pages later
        file.flush()
        counts = WorkerCounts(0, workers, file.fileno())
        inherited = listener.fileno(), file.fileno()
        status = asyncio.run(_keep(command, inherited, counts, workers))
    if status:
        sys.exit(status)


async def _keep(command: Sequence[str], inherited: tuple[int, int], counts: WorkerCounts, workers: int) -> int:
    """Keep all running until a signal, a worker's wrong input or an unexpected error; returns the exit status."""
    stopping = asyncio.Event()
    for number in signal.SIGTERM, signal.SIGINT:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    publisher = asyncio.create_task(keep_publishing())
    worker_tasks = [asyncio.create_task(_keep_worker(worker, command, inherited, counts)) for worker in range(workers)]
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait([signalled, *worker_tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in worker_tasks:
        task.cancel()
    await asyncio.wait(worker_tasks)
    errors = [error for task in worker_tasks if not task.cancelled() and (error := task.exception())]
    for error in errors:
        log.error("a worker cannot be kept running", exc_info=error)
    publisher.cancel()  # once the workers' last events are in their outboxes
    await asyncio.wait([publisher])
    return CRASHED if errors else 0 if signalled.done() else WRONG_INPUT


async def _keep_worker(worker: int, command: Sequence[str], inherited: tuple[int, int], counts: WorkerCounts) -> None:
    """Keep a worker running until cancelled; return if it finds its input wrong."""
    arguments, pipe = [*command, str(worker), *map(str, inherited)], asyncio.subprocess.PIPE
    restarts = Restarts()
    while True:
        try:
            process = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, pass_fds=inherited)
            async with _ended_at_last(process):
                status = await _status(process, worker, counts)
        except OSError as error:  # out of memory or processes
            log.error("worker %d cannot be started: %s", worker, error)
        else:
            counts.stopped(worker)
            if status == WRONG_INPUT:
                return
            log.error("worker %d ended with status %s; it is started again", worker, status)
        await restarts.pause()


@contextlib.asynccontextmanager
async def _ended_at_last(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """A block after which the process is ended, if need be by force."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _status(process: asyncio.subprocess.Process, worker: int, counts: WorkerCounts) -> int:
    """The exit status of a worker, which is killed if it hangs for PATIENCE_SECONDS."""
    beats, silent_checks = counts.beats(worker), 0
    ended = asyncio.ensure_future(process.wait())  # one for all checks: the process keeps every waiter until it ends
    try:
        while not (await asyncio.wait([ended], timeout=CHECK_SECONDS))[0]:
            silent_checks = silent_checks + 1 if counts.beats(worker) == beats else 0
            beats = counts.beats(worker)
            if silent_checks * CHECK_SECONDS >= PATIENCE_SECONDS:
                log.error("worker %d has not answered for %g s: it is killed", worker, PATIENCE_SECONDS)
                process.kill()
        return ended.result()
    finally:
        ended.cancel()
