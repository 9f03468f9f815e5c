"""One headless run: the turn, its limits and signals, and the result, which is always the last output."""

import asyncio
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ml_intern.commands.failure import as_known, drop_stdout, report_line, say
from ml_intern.commands.options import Options, seconds
from ml_intern.commands.running.answer_schema import MAX_CORRECTIONS, AnswerSchema
from ml_intern.commands.running.formats import Format, format_for
from ml_intern.configs.errors import MLInternError, TemporaryError
from ml_intern.graph.events import Event
from ml_intern.graph.operations import ExecApproval, Interrupt, UserInput
from ml_intern.session.opening.session import Interface, Opened, open_session
from ml_intern.session.protocol import NO_USAGE
from ml_intern.terminal.slash.runs import left_lines


@dataclass(frozen=True)
class Ending:
    """The end of the run. `line` is the message for stderr when the run did not succeed."""

    status: str
    exit_code: int
    text: str
    line: str = ""
    iterations: int = 0
    answered: bool = False
    """Whether the model gave its final answer; it may still fail the schema."""


Task = UserInput | ExecApproval | None
"""The input of a headless run: a message, answers to pending approvals, or None to continue an unfinished turn."""
NOTHING_LEFT = Ending(
    "failed", 2, "nothing to continue", 'nothing to continue: the last turn is finished (add a prompt: -c "PROMPT")'
)
SIGINT = Ending("interrupted", 130, "interrupted", "interrupted")
SIGTERM = Ending("interrupted", 143, "terminated", "terminated")
RESUMABLE = (SIGINT.exit_code, SIGTERM.exit_code, TemporaryError.exit_code)
"""Exit codes after which the message says that the thread can be resumed, if it is saved."""


async def run_headless(options: Options, task: Task) -> int:
    """Run one turn and return the exit code. Once the output format is chosen, the last output is always a result."""
    limit = seconds(options.timeout) if options.timeout is not None else None
    schema = AnswerSchema.read(options.output_schema) if options.output_schema else None
    out = format_for(options)
    try:
        async with open_session(options.request(headless=True), Interface(report_line)) as opened:
            headless = Headless(opened, out, schema)
            with headless.stopped_by(limit, options.timeout or ""):
                return await headless.run(task)
    except Exception as error:
        known = as_known(error) or MLInternError(f"unexpected {type(error).__name__}: {error}")
        out.result(_result(Ending("failed", known.exit_code, str(known)), NO_USAGE, None, "", 1))
        raise


class Headless:
    """A headless run of a session. It ends with the turn, on a signal, at a limit, or when the output is closed."""

    def __init__(self, opened: Opened, out: Format, schema: AnswerSchema | None) -> None:
        self._session = opened.session
        self._saved = opened.saved
        self._out = out
        self._schema = schema
        self._stop: Ending | None = None
        self._unwritable: Ending | None = None
        self._sequence = 0
        self._unverified = list[str]()
        self._stopping = asyncio.Event()
        self._tasks = set[asyncio.Task[None]]()

    @contextmanager
    def stopped_by(self, limit: float | None, limit_words: str) -> Iterator[None]:
        """End the run on SIGINT, SIGTERM or the time limit (seconds) within this block; a second signal kills it."""
        loop = asyncio.get_running_loop()
        for number, ending in ((signal.SIGINT, SIGINT), (signal.SIGTERM, SIGTERM)):
            loop.add_signal_handler(number, self._on_signal, number, ending)
        words = f"the time limit of {limit_words} was reached"
        timer = loop.call_later(limit, self.stop, Ending("limit", 124, words, words)) if limit else None
        try:
            yield
        finally:
            if timer:
                timer.cancel()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals, ending: Ending) -> None:
        asyncio.get_running_loop().remove_signal_handler(number)
        self.stop(ending)

    def stop(self, ending: Ending) -> None:
        """End the run with this ending, unless it is already ending."""
        if self._stop is None:
            self._stop = ending
            self._stopping.set()
            task = asyncio.create_task(self._session.submit(Interrupt()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def run(self, task: Task) -> int:
        """Finish pending work of the thread, run the turn, write the result and return the exit code."""
        before, spent_before = await self._session.totals(), await self._session.spending()
        consumer = asyncio.create_task(self._consume())
        await self._session.idle()
        ending = await self._answer(task)
        await self._leave_runs(ending)
        thread_id, usage = self._session.thread_id, await self._session.usage(spent_before)
        cost = (await self._session.totals()).since(before).known_cost_usd
        await self._session.close()
        await consumer
        unverified = self._unverified if ending.answered else None
        self._write(_result(ending, usage, cost, thread_id, self._sequence + 1, unverified), last=True)
        ending = self._unwritable or ending
        return say(self._with_hint(ending), ending.exit_code) if ending.line else ending.exit_code

    def _with_hint(self, ending: Ending) -> str:
        resumable = self._saved and ending.exit_code in RESUMABLE
        return f"{ending.line}; the thread can be resumed" if resumable else ending.line

    async def _answer(self, task: Task) -> Ending:
        if self._schema is None:
            return await self._turn(task)
        if isinstance(task, UserInput):
            typed = task.text if task.typed is None else task.typed
            task = replace(task, text=self._schema.instruct(task.text), typed=typed)
        ending = await self._turn(task)
        for corrections_left in range(MAX_CORRECTIONS, -1, -1):
            if ending.status != "done":
                return ending
            text, problem = self._schema.check(ending.text)
            if not problem:
                return replace(ending, text=text)
            if corrections_left:
                ending = await self._turn(UserInput(self._schema.correction(problem), typed=""))
        return replace(ending, status="failed", exit_code=1, line=f"the answer does not match the schema: {problem}")

    async def _turn(self, task: Task) -> Ending:
        if self._stop is None and task is not None:
            await self._session.submit(task)
        if self._stop is None:
            await self._at_rest(runs_first=task is None and self._session.end is None)
        end = self._session.end
        if self._stop is not None:
            return replace(self._stop, iterations=end.iterations if end else 0)
        if end is None and task is None:
            return NOTHING_LEFT
        if end is None:
            return Ending("failed", 1, "", "the turn did not end")
        line, answered = self._line(end.status, end.text), end.status == "done"
        return Ending(end.status, end.exit_code, end.text, line, end.iterations, answered)

    async def _at_rest(self, *, runs_first: bool) -> None:
        """Wait until the turn and the turns that background runs start have ended, or the run is stopped."""
        rest = asyncio.ensure_future(self._session.at_rest(runs_first=runs_first))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({rest, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (rest, stopping):
            waiting.cancel()
        await self._session.idle()

    async def _leave_runs(self, ending: Ending) -> None:
        """Report the background runs that continue. At the time limit, stop them instead."""
        if ending.status == "limit" and self._stop is not None:
            await self._session.runs.stop()
        for line in left_lines(await self._session.runs.unfinished()):
            say(line, 0)

    def _line(self, status: str, text: str) -> str:
        if status == "done":
            return ""
        if status == "waiting":
            return f"{text} (show and answer them with `ml-intern approve {self._session.thread_id}`)"
        return text

    async def _consume(self) -> None:
        async for event in self._session.events():
            self._sequence = event.seq
            if event.type in ("processing", "unverified"):
                self._unverified = event.data.get("numbers", [])
            self._write(event)

    def _write(self, event: Event, *, last: bool = False) -> None:
        if self._unwritable:
            return
        try:
            (self._out.result if last else self._out.event)(event)
        except OSError as error:
            drop_stdout()
            known = as_known(error) or MLInternError(f"cannot write the output: {error.strerror}")
            line = "" if isinstance(error, BrokenPipeError) else str(known)
            self._unwritable = Ending("interrupted", known.exit_code, known.message, line)
            self.stop(self._unwritable)


def _result(
    ending: Ending,
    usage: Mapping[str, Any],
    cost: float | None,
    thread_id: str,
    seq: int,
    unverified: list[str] | None = None,
) -> Event:
    data: dict[str, Any] = {
        "status": ending.status,
        "exit_code": ending.exit_code,
        "text": ending.text,
        "usage": usage,
        "cost_usd": cost,
        "iterations": ending.iterations,
        "thread_id": thread_id,
        "unverified": unverified,
    }
    return Event("result", thread_id, seq, time.time(), data)
