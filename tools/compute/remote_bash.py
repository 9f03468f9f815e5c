"""The bash tool in the sandbox of a thread: the same parameters and results, another machine."""

import asyncio
import posixpath
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from uuid import uuid4

from ml_intern.execution.call import ToolResult
from ml_intern.execution.process.command import OUTPUT_BYTES, Finished, ProcessCommand
from ml_intern.execution.process.output_sink import OutputFile, OutputLog
from ml_intern.execution.provenance import source_note
from ml_intern.execution.sandboxed import open_in_thread, secret_value
from ml_intern.execution.tool import ToolContext
from ml_intern.runs.backends.hub_sandbox import WORKSPACE, Sandboxes
from ml_intern.runs.backends.remote_command import TIMED_OUT, Remote, RemoteCommand, read_progress, start, stop
from ml_intern.runs.backends.sandbox_records import SandboxRecord
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.outward import inward_sources
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.tools.local.bash import BashArgs, result_of

OUTPUTS = f"{WORKSPACE}/.ml-intern"
SOON_S, LATE_S = 0.1, 1.0
"""Between two looks at a command, at its beginning and later on."""
PATIENCE_S = 20.0
"""After its time a command that was not ended over there is ended from here."""


async def run_there(args: BashArgs, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext) -> ToolResult:
    """Run the command and give its result; when this is cancelled the command is ended.

    Raises:
        SandboxGone: the sandbox ended meanwhile.
        ToolError: what the sandbox said.
    """
    secrets = await asyncio.to_thread(_secrets, args.secrets)
    words = ("/bin/sh", "-c", 'command -v bash >/dev/null && exec bash -c "$1"; exec sh -c "$1"', "sh", args.command)
    command = RemoteCommand(f"{OUTPUTS}/{uuid4().hex}", words, there(args.workdir), secrets, args.seconds)
    starting = asyncio.ensure_future(start(sandboxes, record, command))
    kept = ProcessCommand((), context.workspace, {}, context.artifact_path(), context.mark, args.seconds)
    try:
        remote = await asyncio.shield(starting)
        finished = await _followed(remote, sandboxes, record, context, kept)
    except asyncio.CancelledError:
        await asyncio.wait({starting})  # it may have begun before anybody here heard of it
        if starting.exception() is None:
            await stop(sandboxes, record, starting.result())
        raise
    await sandboxes.use(record, lambda machine: machine.files.delete(remote.folder, recursive=True))
    sources = _sources(args.command)
    return replace(await asyncio.to_thread(result_of, finished, kept, source_note(sources)), taint=sources)


def there(path: str) -> str:
    """A path in the sandbox; a relative one is below its workspace."""
    return posixpath.normpath(posixpath.join(WORKSPACE, path))


def _secrets(names: list[str]) -> Mapping[str, str]:
    return {name: secret_value(name) for name in names}


async def _followed(
    remote: Remote, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext, kept: ProcessCommand
) -> Finished:
    """Its output in the file as it comes, and how it ended."""
    output = await open_in_thread(partial(OutputFile, kept.output, OUTPUT_BYTES), OutputFile.close)
    log = OutputLog(lambda text: context.emit("tool_log", id=context.call_id, name="bash", text=text))
    offset, pause, deadline = 0, SOON_S, time.monotonic() + kept.timeout + PATIENCE_S
    try:
        while True:
            progress = await read_progress(sandboxes, record, remote, offset)
            offset += len(progress.output)
            log.add(await asyncio.to_thread(output.feed, progress.output))
            if log.due:
                log.flush(output.unfinished)
            if progress.exit_code is not None:
                code = progress.exit_code
                return Finished(code, "timeout" if code == TIMED_OUT else "exited", _closed(output, log), 0)
            if output.full or time.monotonic() > deadline:
                await stop(sandboxes, record, remote)
                return Finished(None, "output cap" if output.full else "timeout", _closed(output, log), 0)
            pause = SOON_S if progress.output else min(pause * 1.5, LATE_S)
            if not progress.output:
                await asyncio.sleep(pause)
    finally:
        output.close()


def _closed(output: OutputFile, log: OutputLog) -> int:
    """The length of all of its text, the last of it written."""
    log.add(output.close())
    log.flush()
    return output.characters


def _sources(command: str) -> tuple[str, ...]:
    """Where its output may come from, as far as its words show it."""
    parsed = analyze_command(command, CommandContext(WORKSPACE, home="/root", cwd=WORKSPACE)).parsed
    return inward_sources(parsed) if parsed is not None else ()
