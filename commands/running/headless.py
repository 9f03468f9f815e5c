"""One headless run: the turn, its limits and signals, and the result, which is always the last output."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ml_intern.commands.failure import as_known, drop_stdout, report_line, say
from ml_intern.commands.options import Options, seconds
from ml_intern.commands.running.answer_schema import MAX_CORRECTIONS, AnswerSchema
from ml_intern.commands.running.formats import Format, format_for
from ml_intern.commands.running.handover import Handover, can_hand_over, handover_offered
from ml_intern.configs.errors import MLInternError, TemporaryError
from ml_intern.graph.events import Event
from ml_intern.graph.operations import Continue, ExecApproval, Interrupt, UserInput
from ml_intern.session.opening.session import Interface, Opened, open_session
from ml_intern.session.protocol import NO_USAGE
from ml_intern.terminal.render.evidence import contradicted_line
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
    """Whether the model gave its final answer, or one that did not meet the goal; it may still fail the schema."""


Task = UserInput | ExecApproval | None
"""The input of a headless run: a message, answers to pending approvals, or None to continue an unfinished turn."""
NOTHING_LEFT = Ending(
    "failed", 2, "nothing to continue", 'nothing to continue: the last turn is finished (add a prompt: -c "PROMPT")'
)
SIGINT = Ending("interrupted", 130, "interrupted", "interrupted")
SIGTERM = Ending("interrupted", 143, "terminated", "terminated")
TAKEN_OVER = Ending("interrupted", 130, "continued in an interactive session")
TICK_S = 0.5
"""Seconds between two frames while nothing happens."""
RESUMABLE = (SIGINT.exit_code, SIGTERM.exit_code, TemporaryError.exit_code, 124)
"""Exit codes after which the message says how to continue the turn, if it is saved."""


async def run_headless(options: Options, task: Task, attach_as: str = "") -> int:
    """Run one turn and return the exit code. Once the output format is chosen, the last output is always a result.

    `attach_as` is the name to attach with if another process runs the thread; "" does not attach.
    """
    limit = seconds(options.timeout) if options.timeout is not None else None
    schema = AnswerSchema.read(options.output_schema) if options.output_schema else None
    out = format_for(options)
    headless: Headless | None = None
    try:
        async with open_session(options.request(headless=True), Interface(report_line, attach_as=attach_as)) as opened:
            out.begin(opened.terminal)
            headless = Headless(opened, out, schema)
            offered = can_hand_over(options, saved=opened.saved)
            keys = handover_offered(out.hint, lambda: headless.stop(TAKEN_OVER)) if offered else nullcontext()
            with headless.stopped_by(limit, options.timeout or ""), keys:
                return await headless.run(task)
    except Handover:
        raise
    except Exception as error:
        if headless is None or not headless.has_result:
            known = as_known(error) or MLInternError(f"unexpected {type(error).__name__}: {error}")
            out.result(_result(Ending("failed", known.exit_code, str(known)), NO_USAGE, None, "", 1))
        elif (reported := as_known(error)) and reported.exit_code == headless.exit_code:  # such as a full disk
            return reported.exit_code
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
        self.has_result = False
        """Whether the result was written. What fails after it, such as the end of the session, adds no second one."""
        self.exit_code: int | None = None
        """The exit code of the reported ending."""
        self._evidence: dict[str, Any] | None = None
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
            if self._session.attached:  # the turn belongs to the other process
                return
            task = asyncio.create_task(self._session.submit(Interrupt()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def run(self, task: Task) -> int:
        """Finish pending work of the thread, run the turn, write the result and return the exit code."""
        before, spent_before = await self._session.totals(), await self._session.spending()
        consumer, ticker = asyncio.create_task(self._consume()), asyncio.create_task(self._tick())
        try:
            await self._session.idle()
            ending = await self._answer(task)
        except TemporaryError:
            consumer.cancel()
            ticker.cancel()
            await asyncio.gather(consumer, return_exceptions=True)
            raise
        await self._leave_runs(ending)
        thread_id, usage = self._session.thread_id, await self._session.usage(spent_before)
        cost = (await self._session.totals()).since(before).known_cost_usd
        await self._session.close()
        await consumer
        ticker.cancel()
        if self._stop is TAKEN_OVER:
            raise Handover(thread_id)
        evidence = self._evidence if ending.answered else None
        self._write(_result(ending, usage, cost, thread_id, self._sequence + 1, evidence), last=True)
        ending = self._unwritable or ending
        self.exit_code = ending.exit_code
        return say(self._with_hint(ending), ending.exit_code) if ending.line else ending.exit_code

    def _with_hint(self, ending: Ending) -> str:
        if self._session.attached and self._stop:
            return f"{ending.line}; the turn continues in the other process"
        if not self._saved or ending.exit_code not in RESUMABLE:
            return ending.line
        return f"{ending.line}; continue the turn with: ml-intern -r {self._session.thread_id[:8]}"

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
        elif self._stop is None and self._session.end is None and not self._session.attached:
            await self._session.submit(Continue())
            await self._session.idle()
        if self._stop is None:
            await self._at_rest(runs_first=task is None and self._session.end is None)
        end = self._session.end
        if self._stop is not None:
            return replace(self._stop, iterations=end.iterations if end else 0)
        if end is None and task is None:
            return NOTHING_LEFT
        if end is None:
            return Ending("failed", 1, "", "the turn did not end")
        checked = bool((self._evidence or {}).get("goal"))
        line, answered = self._line(end.status, end.text), checked or end.status in ("done", "contradicted")
        return Ending(end.status, end.exit_code, end.text, line, end.iterations, answered)

    async def _at_rest(self, *, runs_first: bool) -> None:
        """Wait until the turn and the turns that background runs start have ended, or the run is stopped."""
        rest = asyncio.ensure_future(self._session.at_rest(runs_first=runs_first))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({rest, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if rest.done():
            rest.result()
        rest.cancel()
        if not (self._session.attached and self._stop):
            await self._session.idle()

    async def _leave_runs(self, ending: Ending) -> None:
        """Report the background runs that continue. At the time limit, stop them instead."""
        if self._session.attached:
            return
        if ending.status == "limit" and self._stop is not None:
            await self._session.runs.stop()
        for line in left_lines(await self._session.runs.unfinished()):
            say(line, 0)

    def _line(self, status: str, text: str) -> str:
        if status == "done":
            return ""
        if status == "contradicted":
            return contradicted_line(self._evidence or {})
        if status == "waiting":
            return f"{text} (show and answer them with `ml-intern approve {self._session.thread_id}`)"
        return text

    async def _tick(self) -> None:
        """Let the output count seconds while nothing happens."""
        while True:
            await asyncio.sleep(TICK_S)
            self._guard(self._out.tick)

    async def _consume(self) -> None:
        async for event in self._session.events():
            self._sequence = event.seq
            if event.type in ("processing", "evidence"):
                self._evidence = event.data if event.type == "evidence" else None
            self._write(event)

    def _write(self, event: Event, *, last: bool = False) -> None:
        self.has_result = self.has_result or last
        self._guard(partial(self._out.result if last else self._out.event, event))

    def _guard(self, write: Callable[[], None]) -> None:
        """Write output, and end the run when it cannot be written."""
        if self._unwritable:
            return
        try:
            write()
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
    evidence: dict[str, Any] | None = None,
) -> Event:
    data: dict[str, Any] = {
        "status": ending.status,
        "exit_code": ending.exit_code,
        "text": ending.text,
        "usage": usage,
        "cost_usd": cost,
        "iterations": ending.iterations,
        "thread_id": thread_id,
        "unverified": [],
        "evidence": evidence,
    }
    return Event("result", thread_id, seq, time.time(), data)
