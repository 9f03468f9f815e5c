"""ScheduledRuns: the threads that schedules start on one machine, each in a headless process of its own."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ml_intern.configs.errors import UsageError
from ml_intern.session.schedules.clock import ScheduleClock

if TYPE_CHECKING:
    from ml_intern.store.store import Store
    from ml_intern.store.team.schedules import Schedule

ENDING_SECONDS: Final = 30.0


class ScheduledRuns:
    """Starts a process for each firing. The process gets the prompt on its standard input."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._processes: set[Process] = set()

    def start(self, schedule: "Schedule", thread_id: str) -> None:
        """Run the prompt of a schedule in its new thread."""
        task = asyncio.create_task(self._run(schedule, thread_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Wait until all processes have ended."""
        await asyncio.gather(*self._tasks)

    async def end(self) -> None:
        """Interrupt the processes, and wait until they have saved their threads."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ENDING_SECONDS)

    async def _run(self, schedule: "Schedule", thread_id: str) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", "ml_intern", "-p", "-r", thread_id, *_words(schedule), stdin=PIPE,
                stdout=DEVNULL, cwd=schedule.folder, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._report(f"schedule {schedule.id}: thread {thread_id} did not start: {error}")
            return
        self._processes.add(process)
        await process.communicate(schedule.prompt.encode())
        self._processes.discard(process)
        self._report(f"schedule {schedule.id}: thread {thread_id} ended with exit code {process.returncode}")


async def run_schedules(store: "Store", report: Callable[[str], None], until: "asyncio.Future[int] | None") -> None:
    """Run the schedules of this machine until the future is set. Without one, run what is due and wait for its end.

    Raises UsageError if the database has workers, and the store's errors.
    """
    if store.is_shared:
        raise UsageError("the workers of the database run its schedules", "start one with ml-intern worker")
    runs = ScheduledRuns(report)
    clock = ScheduleClock(store, report, runs.start)
    if until is None:
        await clock.fire_due()
        await runs.wait()
        return
    looking = asyncio.create_task(clock.run())
    try:
        waits: list[asyncio.Future[Any]] = [until, looking]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await runs.end()


def _words(schedule: "Schedule") -> list[str]:
    """Return the options of a firing as words of the command line."""
    names = {"model": "--model", "max_budget_usd": "--max-budget-usd", "approval_mode": "--approval-mode"}
    return [f"{names[name]}={value}" for name, value in schedule.options.items()]
