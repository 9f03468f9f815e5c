"""Run a command in its own session: output goes to a file of limited size, and no child process survives it."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ml_intern.execution.process.environment import CALL_MARK
from ml_intern.execution.process.output_sink import OutputFile, OutputLog
from ml_intern.execution.process.pipes import PipeReader
from ml_intern.execution.process.sessions import end_processes
from ml_intern.sandbox.command import WrappedCommand

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
    this returns. Processes it leaves running in its session are terminated too.

    Raises:
        OSError: the command could not be started, or its output could not be written.
    """
    process, output = await _start(command)
    pipe = PipeReader(output)
    try:
        return await _supervise(process, pipe, command, on_output)
    finally:
        pipe.close()


class _SandboxedCommand:
    """A sandboxed process that asyncio did not start, with the part of asyncio's Process that is used here."""

    def __init__(self, process: "subprocess.Popen[bytes]", ended: asyncio.Event) -> None:
        self._process, self._ended = process, ended
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        await self._ended.wait()
        return self._process.wait()


Process = asyncio.subprocess.Process | _SandboxedCommand


async def _start(command: ProcessCommand) -> tuple[Process, int]:
    """Start the command; return it and the descriptor of its output."""
    environment = {**command.environment, CALL_MARK: _nested_mark(command)}
    if command.wrapped is not None:
        return await _start_sandboxed(command, command.wrapped, environment)
    read_end, write_end = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command.argv, cwd=command.folder, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=write_end, stderr=write_end,
        )  # fmt: skip
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return process, read_end


async def _start_sandboxed(
    command: ProcessCommand, wrapped: WrappedCommand, environment: Mapping[str, str]
) -> tuple[Process, int]:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_end() -> None:
        with suppress(RuntimeError):  # the loop has ended, so nothing awaits the process
            loop.call_soon_threadsafe(ended.set)

    folder = str(command.folder)
    start = partial(wrapped.start_captured, on_end=on_end, environment=environment, folder=folder)
    task = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        started = await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            task.result().process.kill()
            os.close(task.result().output)
        raise
    return _SandboxedCommand(started.process, ended), started.output


def _nested_mark(command: ProcessCommand) -> str:
    """Return the marks of the enclosing calls, then the call's own: terminating any of them terminates it."""
    outer = command.environment.get(CALL_MARK)
    return f"{outer}:{command.mark}" if outer else command.mark


async def _supervise(
    process: Process, pipe: PipeReader, command: ProcessCommand, on_output: Callable[[str], None]
) -> Finished:
    pump = asyncio.create_task(_pump(pipe, command, OutputLog(on_output)))
    ending: Ending | None = None
    try:
        ending = await _wait_for_end(process, pump, command.timeout)
    finally:
        # A process that left the session on purpose may survive a normal end of the command, but no other end.
        mark = None if ending == "exited" else command.mark
        ended = await end_processes(
            process.pid, mark, spare=process.pid if command.wrapped and command.wrapped.has_monitor else None
        )
        pipe.stop()
        await asyncio.wait({pump})
    await process.wait()
    return Finished(process.returncode, ending, (await pump).characters, ended)


async def _wait_for_end(process: Process, pump: "asyncio.Task[OutputFile]", seconds: float) -> Ending:
    exited = asyncio.create_task(process.wait())
    try:
        async with asyncio.timeout(seconds):
            await asyncio.wait({exited, pump}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done() and pump.result().full:
                return "output cap"
            await exited
            return "exited"
    except TimeoutError:
        return "timeout"
    finally:
        exited.cancel()


async def _pump(pipe: PipeReader, command: ProcessCommand, log: OutputLog) -> OutputFile:
    """Copy output from the pipe to the file and the log until the end, the size limit or a stop; then drain it."""
    sink = OutputFile(command.output, command.output_bytes)
    try:
        await _copy_all(pipe, sink, log)
    finally:
        log.add(await asyncio.to_thread(sink.close))
    log.flush()
    return sink


async def _copy_all(pipe: PipeReader, sink: OutputFile, log: OutputLog) -> None:
    ended = False
    while not (ended or pipe.stopped or sink.full):
        await pipe.wait(log.seconds_to_wait())
        ended = await _copy(pipe, sink, log)
        if log.due:
            log.flush(sink.unfinished)
    for _ in range(_MAX_DRAINED_CHUNKS):
        if ended or sink.full:
            break
        ended = await _copy(pipe, sink, log)


async def _copy(pipe: PipeReader, sink: OutputFile, log: OutputLog) -> bool:
    """Copy one chunk and return whether it was the last."""
    chunk = pipe.read()
    if chunk:
        log.add(await asyncio.to_thread(sink.feed, chunk))
    return chunk == b"" or (chunk is None and pipe.stopped)
