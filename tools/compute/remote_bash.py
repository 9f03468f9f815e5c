"""The bash tool in a thread's sandbox: the same parameters and results as locally."""

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
from ml_intern.tools.local.bash import BashArgs, finished_result

OUTPUTS = f"{WORKSPACE}/.ml-intern"
MIN_POLL_S, MAX_POLL_S = 0.1, 1.0
"""Seconds between polls of a command: at first, and at most."""
GRACE_S = 20.0
"""Seconds after the timeout when a command that the sandbox did not stop is stopped from here."""


async def run_remote_bash(
    args: BashArgs, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext
) -> ToolResult:
    """Run the command and return its result. When the call is cancelled, the command is stopped.

    Raises:
        SandboxGone: the sandbox has ended.
        ToolError: the sandbox reported an error.
    """
    secrets = await asyncio.to_thread(_secrets, args.secrets)
    words = ("/bin/sh", "-c", 'command -v bash >/dev/null && exec bash -c "$1"; exec sh -c "$1"', "sh", args.command)
    command = RemoteCommand(f"{OUTPUTS}/{uuid4().hex}", words, remote_path(args.workdir), secrets, args.seconds)
    starting = asyncio.ensure_future(start(sandboxes, record, command))
    local_command = ProcessCommand((), context.workspace, {}, context.artifact_path(), context.mark, args.seconds)
    try:
        remote = await asyncio.shield(starting)
        finished = await _follow(remote, sandboxes, record, context, local_command)
    except asyncio.CancelledError:
        await asyncio.wait({starting})  # it may have started before the response arrived
        if starting.exception() is None:
            await stop(sandboxes, record, starting.result())
        raise
    await sandboxes.use(record, lambda machine: machine.files.delete(remote.folder, recursive=True))
    sources = _sources(args.command)
    return replace(
        await asyncio.to_thread(finished_result, finished, local_command, source_note(sources)), taint=sources
    )


def remote_path(path: str) -> str:
    """Return a path in the sandbox; a relative path is below its workspace."""
    return posixpath.normpath(posixpath.join(WORKSPACE, path))


def _secrets(names: list[str]) -> Mapping[str, str]:
    return {name: secret_value(name) for name in names}


async def _follow(
    remote: Remote, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext, local_command: ProcessCommand
) -> Finished:
    """Copy the command's output to the local file while it runs, and return its outcome."""
    output = await open_in_thread(partial(OutputFile, local_command.output, OUTPUT_BYTES), OutputFile.close)
    log = OutputLog(lambda text: context.emit("tool_log", id=context.call_id, name="bash", text=text))
    offset, pause, deadline = 0, MIN_POLL_S, time.monotonic() + local_command.timeout + GRACE_S
    try:
        while True:
            progress = await read_progress(sandboxes, record, remote, offset)
            offset += len(progress.output)
            log.add(await asyncio.to_thread(output.feed, progress.output))
            if log.due:
                log.flush(output.unfinished)
            if progress.exit_code is not None:
                code = progress.exit_code
                return Finished(code, "timeout" if code == TIMED_OUT else "exited", _close_output(output, log), 0)
            if output.full or time.monotonic() > deadline:
                await stop(sandboxes, record, remote)
                return Finished(None, "output cap" if output.full else "timeout", _close_output(output, log), 0)
            pause = MIN_POLL_S if progress.output else min(pause * 1.5, MAX_POLL_S)
            if not progress.output:
                await asyncio.sleep(pause)
    finally:
        output.close()


def _close_output(output: OutputFile, log: OutputLog) -> int:
    """Write the rest of the output and return its total length."""
    log.add(output.close())
    log.flush()
    return output.characters


def _sources(command: str) -> tuple[str, ...]:
    """Return the sources of a command's output, as far as its words show them."""
    parsed = analyze_command(command, CommandContext(WORKSPACE, home="/root", cwd=WORKSPACE)).parsed
    return inward_sources(parsed) if parsed is not None else ()
