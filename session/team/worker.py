"""Worker: runs the threads that need a session, each in a process of its own, beside workers on other machines."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ml_intern.configs.errors import MLInternError, ThreadLocked
from ml_intern.configs.paths import database_url
from ml_intern.session.schedules.clock import ScheduleClock
from ml_intern.session.team.recorder import say
from ml_intern.session.wire.children import ChildProcess, ChildProcesses
from ml_intern.store.postgres.listening import OPERATIONS, announcements
from ml_intern.store.team.measures import Measure, prometheus_text, team_measures
from ml_intern.store.team.operations import MAX_STARTS

if TYPE_CHECKING:
    from ml_intern.store.store import Store

LOOK_SECONDS: Final = 1.0
"""The time between two looks for threads that another worker left behind."""
SWEEP_SECONDS: Final = 3_600.0
STORED_SECONDS: Final = 7 * 24 * 3_600.0
"""The time for which events and finished operations are stored."""
OPENING_SECONDS: Final = 15.0
"""The time in which a process locks its thread, or ends because it cannot. Each next one has twice the time."""
MAX_OPENING: Final = 240.0
MAX_PAUSE: Final = 60.0
ENDING_SECONDS: Final = 30.0
CANCEL_SECONDS: Final = 1.0
RUNNER = "ml_intern.session.team.runner"


class _ThreadProcess:
    """The process that runs one thread. It locks it within some seconds, or it is stuck."""

    def __init__(self, opening_seconds: float) -> None:
        self.was_stuck = False
        self._opening_seconds = opening_seconds
        self._process: ChildProcess | None = None
        self._began = time.monotonic()
        self._pid = 0

    async def run(self, processes: ChildProcesses, thread_id: str) -> None:
        """Start the process and wait until it ends. Raises OSError."""
        self._process = await processes.start(RUNNER, thread_id)
        self._pid = int(await self._process.reader.readline() or 0)
        await self._process.wait()

    def call(self) -> None:
        """Say that something was posted to the thread."""
        if self._process is not None:
            with suppress(OSError):
                self._process.writer.write(b"\n")

    def finish(self) -> None:
        """Let the process end."""
        if self._process is not None:
            with suppress(OSError):
                self._process.writer.write_eof()

    def end_if_stuck(self) -> None:
        """Kill the process, which has not locked its thread, if it had the time for it: it was stopped or hangs."""
        if self._pid and time.monotonic() - self._began > self._opening_seconds:
            self.was_stuck = True
            self.kill()

    def kill(self) -> None:
        """Kill the process, if it has told its id."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)


class Worker:
    """Looks for threads with something to do, and starts a process for each that no process has locked."""

    def __init__(self, store: "Store", threads: int, report: Callable[[str], None]) -> None:
        self._store = store
        self._threads = threads
        self._report = report
        self._processes = ChildProcesses(detached=True)
        self._running: dict[str, _ThreadProcess] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, tuple[float, float]] = {}
        """For threads whose process failed: the last pause, and the time at which it ends."""
        self._patience: dict[str, float] = {}
        """For threads whose process was stuck, such as on a busy machine, the time that the next one has."""
        self._wanted = asyncio.Event()
        self._was_away = False
        self._started = self._handovers = 0

    async def run(self, until: "asyncio.Future[int]") -> None:
        """Work until the future is set. Then let each process finish its step and leave its thread to others."""
        self._processes.warm_up()
        tasks = [asyncio.create_task(one) for one in self._work()]
        waits: list[asyncio.Future[Any]] = [until, *tasks]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(tasks)
            await self._end_all()
        for task in tasks:
            if not task.cancelled() and (problem := task.exception()):
                raise problem

    async def metrics(self) -> str:
        """Return the figures of this worker and of the database in Prometheus' format. Raises the store's errors."""
        own = [
            Measure("worker_threads", "Threads that this worker runs", len(self._running)),
            Measure("worker_threads_max", "Threads that it may run at the same time", self._threads),
            Measure("worker_starts_total", "Processes that it started for threads", self._started, "counter"),
            Measure("worker_handovers_total", "Turns of other processes that it continued", self._handovers, "counter"),
        ]
        return prometheus_text([*own, *await team_measures(self._store.database, MAX_STARTS)])

    # --- what is to do

    def _work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        clock = ScheduleClock(self._store, self._report)
        return self._listen(), self._check_regularly(), self._sweep(), clock.run()

    async def _listen(self) -> None:
        async for one in announcements(database_url(), [OPERATIONS]):
            if one.text in self._running:
                self._running[one.text].call()
            else:
                self._wanted.set()

    async def _check_regularly(self) -> None:
        while True:
            try:
                await self._check()
                self._was_away = False
            except MLInternError as error:
                if not self._was_away:
                    self._report(str(error))
                self._was_away = True
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()

    async def _check(self) -> None:
        found = list(await self._store.operations.unfinished_threads())
        random.shuffle(found)  # several workers do not all begin with the same one
        for id in found:
            if time.monotonic() < self._pauses.get(id, (0.0, 0.0))[1] or await self._store.is_held(id):
                continue
            if id in self._running:
                self._running[id].end_if_stuck()
            elif len(self._running) < self._threads and await self._store.engine.locks.claim(id):
                self._started += 1
                self._handovers += await self._store.operations.is_in_turn(id)
                self._running[id] = _ThreadProcess(self._patience.get(id, OPENING_SECONDS))
                self._tasks[id] = asyncio.create_task(self._run(id))

    async def _sweep(self) -> None:
        while True:
            before = time.time() - STORED_SECONDS
            with suppress(MLInternError):  # it is tried again
                await self._store.operations.forget(before)
                await self._store.events.forget(before)
            await asyncio.sleep(SWEEP_SECONDS)

    # --- processes

    async def _run(self, thread_id: str) -> None:
        """Run a thread in a process until that ends."""
        began, process = time.monotonic(), self._running[thread_id]
        try:
            await process.run(self._processes, thread_id)
        except OSError as error:
            self._report(f"no process could be started for thread {thread_id}: {error}")
        finally:
            del self._running[thread_id], self._tasks[thread_id]
            with suppress(MLInternError):  # the claim ended with the connection
                await self._store.engine.locks.disclaim(thread_id)
        self._pause(thread_id, time.monotonic() - began)
        self._wait_longer(thread_id, was_stuck=process.was_stuck)
        with suppress(MLInternError):
            await self._leave_alone(thread_id)
        self._wanted.set()

    def _pause(self, thread_id: str, seconds: float) -> None:
        """Wait longer after each process that ended at once."""
        if seconds > MAX_PAUSE / 2:
            self._pauses.pop(thread_id, None)
            return
        pause = min(2 * self._pauses.get(thread_id, (0.1, 0.0))[0], MAX_PAUSE)
        self._pauses[thread_id] = pause, time.monotonic() + pause

    def _wait_longer(self, thread_id: str, *, was_stuck: bool) -> None:
        """Give the next process of a thread more time to open it, if this one was stuck."""
        if was_stuck:
            self._patience[thread_id] = min(2 * self._patience.get(thread_id, OPENING_SECONDS), MAX_OPENING)
        else:
            self._patience.pop(thread_id, None)

    async def _leave_alone(self, thread_id: str) -> None:
        """Say in the thread that its processes got nowhere, if so. The next operation that is posted begins anew."""
        if await self._store.operations.starts(thread_id) < MAX_STARTS:
            return
        with suppress(ThreadLocked):
            async with self._store.hold(thread_id):
                message = f"the process of this thread ended {MAX_STARTS} times before it got anywhere"
                self._report(f"thread {thread_id}: {message}")
                await say(self._store, thread_id, message, "send a message or continue to try again")

    async def _end_all(self) -> None:
        for process in self._running.values():
            process.finish()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=ENDING_SECONDS)
        for process in self._running.values():  # what they left unfinished, another worker continues
            process.kill()
        await _cancel(tasks)
        self._processes.close()


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: a library may take a cancellation for an error of its own."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_SECONDS)
