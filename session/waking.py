"""Watches the background runs of the session's thread. The end of a run starts a turn if the thread is idle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_intern.configs.errors import MLInternError
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.runs.logs import last_lines
from ml_intern.runs.metrics import series_of, sparkline
from ml_intern.runs.poll import poll
from ml_intern.runs.poll import stop as stop_run
from ml_intern.runs.summary import standing_line
from ml_intern.runs.watch import Watch
from ml_intern.session.protocol import RunReport
from ml_intern.session.runner import pending_kind
from ml_intern.session.turns.turns import Turns
from ml_intern.store.runs import RunRow

WAKE_TEXT = "a background run ended"
"""The text of `processing` for a turn without a message."""
NOTICE_TEXT = "a background run met a condition"


@dataclass(frozen=True)
class Woken:
    """The number of the turn that continues, and why."""

    turn: int
    text: str


LOG_LINES, LOG_CHARACTERS = 20, 4_000


def metric_history(row: RunRow) -> str:
    """Return the history of a run's main metric in one line, read from its log; "" if it has no metrics."""
    series = series_of(Path(row.log))
    if not (name := series.main()):
        return ""
    values = [value for _, value in series.points[name]]
    return f"{name} {sparkline(values)} {values[-1]:.4g}".replace("  ", " ")


class ThreadRuns:
    """Watches the runs of one thread at a time. `wake` submits the operation Wake."""

    def __init__(self, services: Services, emit: Emit, wake: Callable[[], None]) -> None:
        self._services = services
        self._emit = emit
        self._wake = wake
        self._thread_id = ""
        self._watch: Watch | None = None

    async def watch(self, thread_id: str) -> Watch:
        """Stop watching the previous thread. Return the watch on the runs of this thread, which `start` starts."""
        await self.close()
        self._thread_id = thread_id
        self._watch = Watch(self._services.store, thread_id, self._emit, self._wake)
        return self._watch

    async def start(self) -> None:
        """Start watching. Runs that have ended in the meantime wake the model at once."""
        if await self._services.store.runs.list(self._thread_id):
            self._wake()
        if self._watch is not None:
            self._watch.start()

    async def close(self) -> None:
        """Stop watching; the runs continue."""
        if self._watch is not None:
            await self._watch.close()
            self._watch = None

    async def begin(self, turns: Turns, options: RunOptions) -> "Woken | None":
        """Write the input that wakes the model. Return the turn to which it belongs.

        Return None if every ended run and every notice was reported, or if the thread is not idle. In that case the
        next model call reports them.
        """
        snapshot = await turns.snapshot()
        reported = snapshot.values.get("reported_runs", [])
        ended = await self._services.store.runs.finished_unreported(turns.thread_id, reported)
        noticed = await self._services.store.runs.unreported_notices(turns.thread_id, reported)
        if not (ended or noticed) or pending_kind(snapshot):
            return None
        text = WAKE_TEXT if ended else NOTICE_TEXT
        await turns.continue_turn(options, text)
        return Woken(int(snapshot.values.get("turn", 0)), text)

    async def unfinished(self) -> Sequence[RunRow]:
        """Return the runs that have not ended."""
        return await self._services.store.runs.unfinished(self._thread_id)

    @property
    def quiet(self) -> bool:
        """Return whether every run has ended and was reported."""
        return self._watch is None or self._watch.is_quiet

    async def ended(self) -> None:
        """Wait until every run has ended and was reported to the model."""
        if self._watch is not None:
            await self._watch.quiet()

    async def ids(self, prefix: str = "") -> Sequence[str]:
        """Return the ids that begin with `prefix`."""
        rows = await self._services.store.runs.list(self._thread_id)
        return [row.id for row in rows if row.id.startswith(prefix)]

    async def check(self, prefix: str = "", *, stop: bool = False, logs: bool = False) -> list[RunReport]:
        """Poll the runs whose ids begin with `prefix`. `stop` stops them, `logs` adds the end of their logs."""
        rows = await self._services.store.runs.list(self._thread_id)
        return [await self._report(row, stop_it=stop, log=logs) for row in rows if row.id.startswith(prefix)]

    async def _report(self, row: RunRow, *, stop_it: bool, log: bool) -> RunReport:
        seen, problem, store = row, "", self._services.store
        try:
            seen = await (stop_run(store, row) if stop_it else poll(store, row))
        except MLInternError as error:
            problem = error.message
        end = last_lines(Path(seen.log), LOG_LINES, LOG_CHARACTERS).rstrip() if log else ""
        return RunReport(seen, standing_line(seen), metric_history(seen), end, problem)

    async def stop(self) -> Sequence[RunRow]:
        """Stop all runs. Return those that could not be stopped. It works after the session was closed, too."""
        left = []
        for row in await self.unfinished():
            try:
                await stop_run(self._services.store, row)
            except MLInternError as error:
                self._emit("error", message=error.message, remedy=error.remedy, exit_code=None, retry_in_s=None)
                left.append(row)
        return left
