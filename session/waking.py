"""The runs of the thread that a session is in: followed to their end, which wakes the model when no turn runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ml_intern.configs.errors import MLInternError
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.runs.logs import last_lines
from ml_intern.runs.metrics import series_of, sparkline
from ml_intern.runs.poll import poll, stop
from ml_intern.runs.run_folder import TRACKIO
from ml_intern.runs.summary import standing_line
from ml_intern.runs.watch import Watch
from ml_intern.session.protocol import RunReport
from ml_intern.session.runner import pending_kind
from ml_intern.session.turns.turns import Turns
from ml_intern.store.runs import RunRow

WOKEN = "a background run ended"
"""What stands in `processing` instead of a message."""

LOG_LINES, LOG_CHARACTERS = 20, 4_000


def metric_course(row: RunRow) -> str:
    """The course of a run's main metric in one line; "" when it printed none. Reads the log."""
    log = Path(row.log)
    series = series_of(log, log.parent / TRACKIO)
    if not (name := series.main()):
        return ""
    values = [value for _, value in series.points[name]]
    return f"{name} {sparkline(values)} {values[-1]:.4g}".replace("  ", " ")


class ThreadRuns:
    """Follows the runs of one thread at a time. `wake` hands in the operation Wake."""

    def __init__(self, services: Services, emit: Emit, wake: Callable[[], None]) -> None:
        self._services = services
        self._emit = emit
        self._wake = wake
        self._thread_id = ""
        self._watch: Watch | None = None

    async def watch(self, thread_id: str) -> Watch:
        """Leave the runs of the thread before, and return the watch over those of this one. `start` begins it."""
        await self.close()
        self._thread_id = thread_id
        self._watch = Watch(self._services.store, thread_id, self._emit, self._wake)
        return self._watch

    async def start(self) -> None:
        """Begin to watch. Runs that ended in the meantime wake the model at once."""
        if await self._services.store.runs.list(self._thread_id):
            self._wake()
        if self._watch is not None:
            self._watch.start()

    async def close(self) -> None:
        """Stop watching; the runs continue."""
        if self._watch is not None:
            await self._watch.close()
            self._watch = None

    async def begin(self, turns: Turns, options: RunOptions) -> int | None:
        """Write the input that wakes the model, and give the number of the turn it belongs to.

        None when there is no run that it does not know of, or the thread is not at rest: its next call tells it.
        """
        snapshot = await turns.snapshot()
        reported = snapshot.values.get("reported_runs", [])
        ended = await self._services.store.runs.finished_unreported(turns.thread_id, reported)
        if not ended or pending_kind(snapshot):
            return None
        await turns.continue_turn(options, WOKEN)
        return int(snapshot.values.get("turn", 0))

    async def going(self) -> Sequence[RunRow]:
        """The runs that have not ended."""
        return await self._services.store.runs.unfinished(self._thread_id)

    @property
    def quiet(self) -> bool:
        """Whether no run is open and none has still to be reported."""
        return self._watch is None or self._watch.is_quiet

    async def ended(self) -> None:
        """Wait until no run is open and the model was handed what came of the last one."""
        if self._watch is not None:
            await self._watch.quiet()

    async def check(self, prefix: str, *, stop_them: bool, logs: bool) -> list[RunReport]:
        """The state of the runs whose ids begin so; `stop_them` ends them, `logs` adds the end of their logs."""
        rows = await self._services.store.runs.list(self._thread_id)
        return [await self._report(row, stop_it=stop_them, log=logs) for row in rows if row.id.startswith(prefix)]

    async def _report(self, row: RunRow, *, stop_it: bool, log: bool) -> RunReport:
        seen, problem, store = row, "", self._services.store
        try:
            seen = await (stop(store, row) if stop_it else poll(store, row))
        except MLInternError as error:
            problem = error.message
        end = last_lines(Path(seen.log), LOG_LINES, LOG_CHARACTERS).rstrip() if log else ""
        return RunReport(seen, standing_line(seen), metric_course(seen), end, problem)

    async def stop(self) -> Sequence[RunRow]:
        """Stop all of them; those that could not be stopped. The session may be closed already."""
        left = []
        for row in await self.going():
            try:
                await stop(self._services.store, row)
            except MLInternError as error:
                self._emit("error", message=error.message, remedy=error.remedy, exit_code=None, retry_in_s=None)
                left.append(row)
        return left
