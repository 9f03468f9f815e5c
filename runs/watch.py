"""Watch the open runs of a thread in one task per process, and emit their changes as events."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError
from ml_intern.runs.backends.registry import backend_spec
from ml_intern.runs.poll import poll
from ml_intern.runs.summary import ended_line
from ml_intern.safety.error_log import log_error
from ml_intern.store.runs import RunRow

if TYPE_CHECKING:
    from ml_intern.graph.events import Emit
    from ml_intern.store.store import Store

MAX_SECONDS_BETWEEN_POLLS = 60.0
SECONDS_AFTER_AN_ERROR = 5.0


class Watch:
    """Polls the runs of one thread. `on_news` is called after the end of a run, or a notice about it, is recorded."""

    def __init__(self, store: "Store", thread_id: str, emit: "Emit", on_news: Callable[[], None]) -> None:
        self._store = store
        self._thread_id = thread_id
        self._emit = emit
        self._on_news = on_news
        self._noticed = False
        self._news = asyncio.Event()
        self._quiet = asyncio.Event()
        self._next_poll: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._problems: dict[str, str] = {}
        """Why the state of a run is not available, reported once for all runs with the same problem."""
        self._known: dict[str, RunRow] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start polling."""
        self._news.set()
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Stop polling. The runs continue."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def notice(self) -> None:
        """Poll again now, because a run was started."""
        self._noticed = True
        self._quiet.clear()
        self._news.set()

    @property
    def is_quiet(self) -> bool:
        """Whether no run is open and the end of every run was reported."""
        return self._quiet.is_set()

    async def quiet(self) -> None:
        """Wait until no run is open, including runs started in the meantime."""
        await self._quiet.wait()

    async def _work(self) -> None:
        while True:
            try:
                await self._round()
            except Exception as error:  # noqa: BLE001 after any error the runs are polled again
                shown = error if isinstance(error, MLInternError) else log_error(self._store.home, "", error)
                self._emit("error", message=shown.message, remedy=shown.remedy, exit_code=None, retry_in_s=None)
                await asyncio.sleep(SECONDS_AFTER_AN_ERROR)

    async def _round(self) -> None:
        """Poll the runs that are due, then wait until the next one is."""
        noticed, self._noticed = self._noticed, False
        self._news.clear()  # before reading the rows, so that a run added meanwhile is seen in the next round
        rows = {row.id: row for row in await self._store.runs.unfinished(self._thread_id)}
        for id in [id for id in self._known if id not in rows]:  # another process or a tool recorded its end
            await self._report_end(await self._store.runs.get(id) or self._known[id])
        if noticed:
            self._on_news()  # a run may have ended before its first poll
        async with asyncio.TaskGroup() as together:  # the runs of one machine in one request
            for row in rows.values():
                together.create_task(self._poll(row))
        if rows:
            self._quiet.clear()
            await self._sleep()
            return
        if not self._news.is_set():
            self._quiet.set()
        await self._news.wait()

    async def _sleep(self) -> None:
        """Wait until the next run is due or a run is started."""
        due = min(self._next_poll.values(), default=time.monotonic())
        try:
            async with asyncio.timeout(max(due - time.monotonic(), 0.0)):
                await self._news.wait()
        except TimeoutError:
            return

    async def _poll(self, row: RunRow) -> None:
        now = time.monotonic()
        before = self._known.setdefault(row.id, row)
        if self._next_poll.get(row.id, 0.0) > now:
            return
        try:
            seen = await poll(self._store, row)
        except MLInternError as error:
            self._note_problem(row, error.message, now)
            return
        self._end_problem(row)
        self._next_poll[row.id] = now + backend_spec(row.backend).poll_seconds
        if not seen.open:
            await self._report_end(seen)
            return
        self._known[row.id] = seen
        if seen.state != before.state:
            self._report(seen, seen.command)
        self._report_notices(before, seen)

    def _note_problem(self, row: RunRow, problem: str, now: float) -> None:
        """Poll a run less often, and report why its state is not available, unless another run has the same problem."""
        failures = self._failures[row.id] = self._failures.get(row.id, 0) + 1
        self._next_poll[row.id] = now + min(2.0**failures, MAX_SECONDS_BETWEEN_POLLS)
        if failures == 1 and problem not in self._problems.values():
            self._report(row, f"status not available: {problem}")
        self._problems.setdefault(row.id, problem)

    def _end_problem(self, row: RunRow) -> None:
        """Report that the state of a run is available again, and poll the runs with the same problem now."""
        self._failures.pop(row.id, None)
        if (problem := self._problems.pop(row.id, None)) is None:
            return
        for id in [id for id, other in self._problems.items() if other == problem]:
            for memory in (self._problems, self._failures, self._next_poll):
                memory.pop(id, None)
        self._report(row, "status available again")

    def _report(self, row: RunRow, text: str) -> None:
        self._emit("job_update", id=row.id, state=row.state, text=f"{row.name}: {text}" if row.name else text)

    def _report_notices(self, before: RunRow, seen: RunRow) -> None:
        fresh = json.loads(seen.notices)[len(json.loads(before.notices)) :]
        for notice in fresh:
            self._report(seen, f"{notice['condition']}: {notice['text']}")
        if fresh:
            self._on_news()

    async def _report_end(self, row: RunRow) -> None:
        for memory in (self._known, self._next_poll, self._failures, self._problems):
            memory.pop(row.id, None)
        self._report(row, ended_line(row))
        self._on_news()
