"""Run a command in a session of its own: output to a file under a byte cap, no child left once it ended."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ml_intern.execution.process.environment import CALL_MARK
from ml_intern.execution.process.output_sink import OutputFile, OutputLog
from ml_intern.execution.process.pipes import PipeReader
from ml_intern.execution.process.sessions import end_all
from ml_intern.sandbox.command import WrappedCommand

OUTPUT_BYTES = 100 * 1024 * 1024
_MAX_DRAINED = 64
Ending = Literal["exited", "timeout", "output cap"]


@dataclass(frozen=True)
class Command:
    """What to run and where its output goes. `mark` names the call in the environment of its processes."""

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    output: Path
    mark: str
    timeout: float
    """Seconds until every process of the command is ended."""
    output_bytes: int = OUTPUT_BYTES
    """Bytes of output after which it is ended."""
    wrapped: WrappedCommand | None = None
    """The sandbox it runs in. Its first process only holds the others, which die with it: it is ended last."""


@dataclass(frozen=True)
class Finished:
    """How a command ended. `exit_code` is negative for a signal, as in subprocess."""

    exit_code: int | None
    ending: Ending
    characters: int
    """Length of the text in the output file."""
    ended_processes: int
    """Processes that had to be ended: those that outlived the command, or all of them."""


async def run_command(command: Command, on_output: Callable[[str], None]) -> Finished:
    """Run `command` and tell how it ended; `on_output` gets its lines meanwhile, at most five times a second.

    When it takes too long, writes too much or is cancelled, all its processes get TERM and after 5 s KILL before this
    returns. What it left running in its session ends with it.

    Raises:
        OSError: it could not be started, or its output could not be written.
    """
    read_end, write_end = os.pipe()
    pipe = PipeReader(read_end)
    try:
        try:
            process = await _start(command, write_end)
        finally:
            os.close(write_end)
        return await _attend(process, pipe, command, on_output)
    finally:
        pipe.close()


class _SandboxedCommand:
    """A process in a sandbox, which asyncio did not start; what is used of asyncio's Process."""

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


async def _start(command: Command, write_end: int) -> Process:
    environment = {**command.environment, CALL_MARK: _mark_within(command)}
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": write_end, "stderr": write_end}
    if command.wrapped is None:
        return await asyncio.create_subprocess_exec(
            *command.argv, cwd=command.folder, env=environment, start_new_session=True, **streams
        )
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_end() -> None:
        with suppress(RuntimeError):  # the loop ended meanwhile: nobody waits
            loop.call_soon_threadsafe(ended.set)

    options = {"cwd": command.folder, "environment": environment, "start_new_session": True, **streams}
    return _SandboxedCommand(await asyncio.to_thread(partial(command.wrapped.start, on_end=on_end, **options)), ended)


def _mark_within(command: Command) -> str:
    """The marks of the calls that this one runs within, then its own: ending any of them ends it."""
    outer = command.environment.get(CALL_MARK)
    return f"{outer}:{command.mark}" if outer else command.mark


async def _attend(process: Process, pipe: PipeReader, command: Command, on_output: Callable[[str], None]) -> Finished:
    pump = asyncio.create_task(_pump(pipe, command, OutputLog(on_output)))
    ending: Ending | None = None
    try:
        ending = await _until_end(process, pump, command.timeout)
    finally:
        # What left the session on purpose may live on after a normal end, and not after any other.
        mark = None if ending == "exited" else command.mark
        ended = await end_all(process.pid, mark, spare=process.pid if command.wrapped else None)
        pipe.stop()
        await asyncio.wait({pump})
    await process.wait()
    return Finished(process.returncode, ending, (await pump).characters, ended)


async def _until_end(process: Process, pump: "asyncio.Task[OutputFile]", seconds: float) -> Ending:
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


async def _pump(pipe: PipeReader, command: Command, log: OutputLog) -> OutputFile:
    """Move output from the pipe to the file and the log until its end, the cap, or the stop; then what is left."""
    sink = await asyncio.to_thread(OutputFile, command.output, command.output_bytes)
    try:
        await _move_all(pipe, sink, log)
    finally:
        log.add(await asyncio.to_thread(sink.close))
    log.flush()
    return sink


async def _move_all(pipe: PipeReader, sink: OutputFile, log: OutputLog) -> None:
    ended = False
    while not (ended or pipe.stopped or sink.full):
        await pipe.wait(log.seconds_to_wait())
        ended = await _move(pipe, sink, log)
        if log.due:
            log.flush(sink.unfinished)
    for _ in range(_MAX_DRAINED):
        if ended or sink.full:
            break
        ended = await _move(pipe, sink, log)


async def _move(pipe: PipeReader, sink: OutputFile, log: OutputLog) -> bool:
    """Move one chunk; whether there is no more to come."""
    chunk = pipe.read()
    if chunk:
        log.add(await asyncio.to_thread(sink.feed, chunk))
    return chunk == b"" or (chunk is None and pipe.stopped)
