"""Run a command in its own session: output goes to a file of limited size, and no child process survives it.

One thread does all of it, since each switch between threads costs more than most of the steps.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ml_intern.execution.process.environment import CALL_MARK
from ml_intern.execution.process.output_sink import OutputFile, OutputLog
from ml_intern.execution.process.pipes import CommandSignals, PipeReader
from ml_intern.execution.process.sessions import GRACE_SECONDS, ProcessTarget, end_all
from ml_intern.sandbox.command import Captured, WrappedCommand

OUTPUT_BYTES = 100 * 1024 * 1024
_MAX_DRAINED_CHUNKS = 64
Ending = Literal["exited", "timeout", "output cap"]


@dataclass(frozen=True)
class ProcessCommand:
    """A command and the file for its output. `mark` identifies the call in the environment of its processes."""

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    output: Path
    mark: str
    timeout: float
    """Seconds until all processes of the command are terminated."""
    output_bytes: int = OUTPUT_BYTES
    """Bytes of output after which it is terminated."""
    wrapped: WrappedCommand | None = None
    """The sandbox it runs in. Its first process is terminated last, because the others die with it."""


@dataclass(frozen=True)
class Finished:
    """The outcome of a command. `exit_code` is negative for a signal, as in subprocess."""

    exit_code: int | None
    ending: Ending
    characters: int
    """Length of the text in the output file."""
    ended_processes: int
    """Processes that had to be terminated: those that outlived the command, or all of them."""


async def run_command(command: ProcessCommand, on_output: Callable[[str], None]) -> Finished:
    """Run `command` and return its outcome. `on_output` gets its lines while it runs, at most five times a second.

    When it takes too long, writes too much or is cancelled, all its processes get TERM, and KILL after 5 s, before
    this returns. When it is cancelled again, they get KILL at once. Processes it leaves running in its session are
    terminated too.

    Raises:
        OSError: the command could not be started, or its output could not be written.
    """
    loop, signals = asyncio.get_running_loop(), CommandSignals()

    def report(text: str) -> None:
        with suppress(RuntimeError):  # the loop has ended, so nothing awaits the command
            loop.call_soon_threadsafe(on_output, text)

    running = asyncio.wrap_future(_start_thread(lambda: _run(command, signals, report)))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        signals.send("cancelled")
        while not running.done():
            try:
                await asyncio.wait({running})
            except asyncio.CancelledError:
                signals.send("hurried")
        with suppress(asyncio.CancelledError, OSError):
            running.result()
        raise


def _start_thread(work: "Callable[[], Finished]") -> "Future[Finished]":
    """Start `work` in a thread of its own: the threads of asyncio are too few for commands that take long."""
    done: Future[Finished] = Future()
    done.set_running_or_notify_cancel()

    def perform() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  who awaits it gets the error
            done.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(perform,), name="command", daemon=True).start()
    return done


def _run(command: ProcessCommand, signals: CommandSignals, report: Callable[[str], None]) -> Finished:
    with closing(signals), closing(OutputFile(command.output, command.output_bytes)) as sink:
        environment = {**command.environment, CALL_MARK: _nested_mark(command)}
        wrapped = command.wrapped or WrappedCommand([*command.argv], environment)
        folder = str(command.folder)
        started = wrapped.start_captured(on_end=lambda: signals.send("ended"), environment=environment, folder=folder)
        with closing(PipeReader(started.output, signals)) as pipe:
            return _Supervisor(command, started, pipe, signals, sink, report).run()


def _nested_mark(command: ProcessCommand) -> str:
    """Return the marks of the enclosing calls, then the call's own: terminating any of them terminates it."""
    outer = command.environment.get(CALL_MARK)
    return f"{outer}:{command.mark}" if outer else command.mark


class _Supervisor:
    """Copies the output of a started command to its file and its log, and ends it."""

    def __init__(
        self,
        command: ProcessCommand,
        started: Captured,
        pipe: PipeReader,
        signals: CommandSignals,
        sink: OutputFile,
        report: Callable[[str], None],
    ) -> None:
        self._command, self._process, self._pipe, self._signals = command, started.process, pipe, signals
        self._sink, self._log = sink, OutputLog(report)
        self._grace = 0.0 if "cancelled" in signals else GRACE_SECONDS

    def run(self) -> Finished:
        """Return the outcome. Raises CancelledError when the command was cancelled."""
        ending: Ending | None = None
        try:
            ending = self._copy_until_end()
        finally:
            # A process that left the session on purpose may survive a normal end of the command, but no other end.
            ended = end_all(self._target(None if ending == "exited" else self._command.mark), self._grace, self._pause)
            while "ended" not in self._signals:
                self._pump(None)
            self._finish_output()
        return Finished(self._process.wait(), ending, self._sink.characters, ended)

    def _target(self, mark: str | None) -> ProcessTarget:
        wrapped = self._command.wrapped
        return ProcessTarget(self._process.pid, mark, self._process.pid if wrapped and wrapped.has_monitor else None)

    def _copy_until_end(self) -> Ending:
        deadline = time.monotonic() + self._command.timeout
        while (left := deadline - time.monotonic()) > 0:
            if "cancelled" in self._signals:
                raise asyncio.CancelledError
            if self._sink.full:
                return "output cap"
            if "ended" in self._signals:
                return "exited"
            self._pump(left)
        return "timeout"

    def _pause(self, seconds: float) -> bool:
        """Copy output for this long. Return at once, with True, when the command is to be killed at once."""
        end = time.monotonic() + seconds
        while "hurried" not in self._signals and (left := end - time.monotonic()) > 0:
            self._pump(left)
        return "hurried" in self._signals

    def _pump(self, seconds: float | None) -> None:
        """Copy output. Wait for it, or for a signal, at most `seconds`."""
        limits = [limit for limit in (seconds, self._log.seconds_to_wait()) if limit is not None]
        if self._pipe.wait(min(limits, default=None)):
            self._copy()
        if self._log.due:
            self._log.flush(self._sink.unfinished)

    def _copy(self) -> bool:
        """Copy one chunk and return whether there may be more."""
        chunk = self._pipe.read()
        if not chunk:
            return False
        try:
            self._log.add(self._sink.feed(chunk))
        except BaseException:
            self._pipe.end()
            raise
        if self._sink.full:
            self._pipe.end()
        return not self._sink.full

    def _finish_output(self) -> None:
        """Copy what is left in the pipe, which may be an endless stream, up to a limit, and close the file."""
        try:
            any(not self._copy() for _ in range(_MAX_DRAINED_CHUNKS))
        finally:
            self._log.add(self._sink.close())
        self._log.flush()
